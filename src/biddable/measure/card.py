"""A model's card, as the hub of Hugging Face has them: what manifests, snapshots and measurements know, nothing else.

Its parts are those of the InstructGPT model card and of the hub's template; what nobody kept is "not recorded".
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from biddable.lineage import DATA, Made, Tracks
from biddable.measure import evaluated, in_short
from biddable.measure.captions import listed, percent, plural, span
from biddable.measure.cost import Cost
from biddable.measure.front_matter import Value, front_matter
from biddable.measure.markdown import code, said, table
from biddable.measure.model_facts import Facts, Given, facts
from biddable.runs import write_aside

NAME = "model-card.md"  # beside report.html; in an exported model's folder it is README.md
STAMP = "biddable-card"
UNKNOWN = "not recorded"
DID = {
    "demonstrations": "wrote answers",
    "rankings": "ranked answers",
    "judgements": "judged answers",
    "verdicts": "compared answers",
}
PAPER = (
    "Ouyang et al. 2022, *Training language models to follow instructions with human feedback*, "
    "[arXiv:2203.02155](https://arxiv.org/abs/2203.02155)."
)
ABSENT = "License, intended use and contact are for whoever publishes the model to say."

# What a training run's settings say of it; all of them are in its manifest.
SHOWN = (
    "method", "loss", "epochs", "iterations", "episodes", "samples", "k", "batch", "minibatch", "inner_epochs",
    "learning_rate", "value_learning_rate", "beta", "kl_target", "clip", "gamma_ptx", "ptx_ratio", "temperature",
    "heads", "extra_layers", "lora_rank", "answer_tokens",
)  # fmt: skip
WORDS = {
    "sft": "supervised fine-tuning on demonstrations",
    "start": "PPO's starting point: demonstrations with pretraining text",
    "reward": "reward model, from rankings",
    "ppo": "PPO against the reward model",
    "dpo": "learning from rankings directly",
    "raft": "learning the best of its own answers",
}


def write_card(tracks: Tracks, run: Made, measured: Made | None, place: Path) -> bool:
    """Write the card of a run's model, unless somebody has edited the one that is there. Whether it was written."""
    if place.exists() and edited(place.read_text(encoding="utf-8", errors="replace")):
        return False
    write_aside(place, card(facts(tracks, run, measured)))
    return True


def edited(text: str) -> bool:
    """Whether it is not, to the letter, what was written here."""
    above, found, stamp = text.rpartition(f"<!-- {STAMP}: ")
    known = re.fullmatch(r"([0-9a-f]{64}) -->\n", stamp)
    return not (found and known and hashlib.sha256(above.encode()).hexdigest() == known[1])


def card(model: Facts) -> str:
    parts = [front_matter(head(model), [f"license: {UNKNOWN}; name one"]), f"# {said(model.name)}", *_body(model)]
    text = "\n".join(parts).rstrip("\n") + "\n\n"
    text += f"<!-- {DATA}: {model.data_sha256} -->\n" if model.data_sha256 else ""
    return text + f"<!-- {STAMP}: {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def head(model: Facts) -> dict[str, Value]:
    """What the hub reads. A license is its owner's to name, and a language is known of the practice world alone."""
    made: dict[str, Value] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if _practice(model):
        made["language"] = ["en"]
    if model.base is not None and model.base.hub is not None:
        made["base_model"] = model.base.hub
    kinds = dict.fromkeys(one.manifest.kind for one in model.chain)
    from_people = ["rlhf"] if {"reward", "dpo"} & kinds.keys() else []
    made["tags"] = ["biddable", *from_people, *(kind for kind in kinds if kind not in ("start", "reward"))]
    results = evaluated.index(model)
    if results:
        made["model-index"] = [{"name": model.name, "results": results}]
    return made


def _practice(model: Facts) -> bool:
    return model.data is not None and model.data.world == "hamlet"


def _body(model: Facts) -> Iterable[str]:
    yield _section("What it is", *_what(model))
    yield _section("How to use it", *_use(model))
    yield _section("Intended use and limits", *_limits(model))
    yield _section("How it was trained", *_training(model))
    yield _section("Who labeled", *_labelers(model))
    yield _section("Evaluation", *evaluated.sections(model))
    yield _section("What it was not tested for", *evaluated.untested(model))
    yield _section("Where it comes from", *_provenance(model))
    yield _section("Method", PAPER)


def _section(title: str, *parts: str) -> str:
    return "\n".join([f"\n## {title}", *(f"\n{part}" for part in parts if part)])


def _what(model: Facts) -> Iterable[str]:
    if _practice(model):
        yield (
            "> **Practice world.** This model speaks Hamlet, a tiny language of some hundred English words; the people "
            "who taught and judged it are simulated. It shows that the loop works, and is of no other use."
        )
    manifest = model.run.manifest
    made = f"{manifest.finished:%Y-%m-%d}" if manifest.finished else UNKNOWN
    kind = listed([str(name) for name in model.config.get("architectures", [])] or [UNKNOWN])
    long = model.config.get("max_position_embeddings")
    rows = [
        ["made", made],
        ["last stage", WORDS.get(manifest.kind, manifest.kind)],
        ["base model", _base(model)],
        ["architecture", said(kind)],
        ["parameters", f"{model.parameters:,}" if model.parameters else UNKNOWN],
        ["positions", f"{long:,}" if isinstance(long, int) else UNKNOWN],
        ["precision of the weights", said(str(model.config.get("dtype") or UNKNOWN))],
        ["languages", "English, some hundred words" if _practice(model) else UNKNOWN],
        ["license, contact", UNKNOWN],
    ]
    yield table(["what", "what is known"], rows)
    if model.data is not None:
        yield from (f"**{said(one.question)}** {said(one.short)}. {said(one.more)}" for one in _answers(model))


def _answers(model: Facts) -> list[in_short.Answer]:
    """The report's first screen, where the report speaks of this very model."""
    assert model.data is not None
    return in_short.answers(model.data) if in_short.subject(model.data.results) == model.name else []


def _base(model: Facts) -> str:
    if model.base is None:
        return UNKNOWN
    revision = f", revision {model.base.revision[:12]}" if model.base.revision else ""
    return f"{said(model.base.name)}{revision}, sha256 {code(model.base.sha256[:16])}"


def _use(model: Facts) -> Iterable[str]:
    ask = (
        'asked = tokenizer.apply_chat_template([{"role": "user", "content": "…"}], add_generation_prompt=True, '
        'return_tensors="pt", return_dict=True)'
        if "chat_template.jinja" in model.model.files
        else 'asked = tokenizer("…\\n", return_tensors="pt")'
    )
    yield "\n".join([
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained(".")  # this folder, or its name on the hub',
        'model = AutoModelForCausalLM.from_pretrained(".")',
        ask,
        "print(tokenizer.decode(model.generate(**asked, max_new_tokens=100)[0]))",
        "```",
    ])  # fmt: skip


def _limits(model: Facts) -> Iterable[str]:
    yield f"Intended use: {UNKNOWN}. {ABSENT}"
    if model.use_cases:
        all_of = sum(model.use_cases.values())
        shares = [f"{name.replace('_', ' ')} {percent(count / all_of)}" for name, count in model.use_cases.items()]
        yield f"It was trained on prompts of these kinds: {', '.join(shares)}. How it answers others is {UNKNOWN}."
    people = sum(model.taught.labelers.values())
    if people:
        agreement = model.data.results.agreement if model.data else None
        agree = f" Two of them agree on {span(agreement)} of pairs." if agreement else ""
        simulated = "simulated " if _practice(model) else ""
        yield (
            f"What a good answer is was told by {plural(people, simulated + 'labeler')}, who "
            f"{listed([DID[kind] for kind in model.taught.work])}, and by nobody else.{agree} Other people may want "
            "other answers."
        )
    yield evaluated.faults(model)


def _training(model: Facts) -> Iterable[str]:
    rows = []
    for one in model.chain:
        there = one.manifest
        rows.append([
            code(one.id), WORDS.get(there.kind, there.kind), f"{there.started:%Y-%m-%d}", in_short.time(there.seconds),
            str(there.seed), _settings(there.config),
        ])  # fmt: skip
    yield table(["run", "what", "begun", "time", "seed", "settings"], rows)
    yield "All settings are in each run's `manifest.json`. What they learned from:"
    yield table(["run", "what", "file", "holds"], [
        [code(one.id), said(given.name), said(given.file), _holds(given)]
        for one in model.chain
        for given in model.given[one.id]
    ])  # fmt: skip
    there = model.run.manifest
    versions = ", ".join(f"{name} {version}" for name, version in sorted(there.environment.packages.items()))
    took = in_short.time(sum(one.manifest.seconds for one in model.chain))
    where = f"{there.environment.cpus} processors ({said(there.environment.platform)})"
    yield (
        f"Training took {took} in all, on {where}; GPUs: {UNKNOWN}; energy: {UNKNOWN}. "
        f"Python {there.environment.python}, biddable {there.code.version}, {versions}."
    )


def _settings(config: Mapping[str, object]) -> str:
    shown = [f"{key} {config[key]}" for key in SHOWN if config.get(key) not in (None, "", 0)]
    # Without pretraining text, PPO is another method: a zero that says something.
    shown += ["gamma_ptx 0"] if "gamma_ptx" in config and not config["gamma_ptx"] else []
    return said(", ".join(shown))


def _holds(given: Given) -> str:
    return ", ".join(f"{count:,} {kind}s" for kind, count in given.counts.items()) or f"sha256 {given.sha256[:16]}"


def _labelers(model: Facts) -> Iterable[str]:
    simulated = _practice(model)
    rows = [_work("training", model.taught)]
    if model.data is not None and model.data.results.cost is not None:
        rows.append(_work("all that was counted, evaluation too", model.data.results.cost))
    yield table(["labels for", "labelers", "labels", "hours that the labels tell"], rows)
    if simulated:
        yield "All of them are simulated: people of the practice world, each with a taste, a care and a pace."
    agreement = model.data.results.agreement if model.data else None
    yield f"Agreement: {span(agreement) + f', guessing {percent(agreement.chance)}' if agreement else UNKNOWN}."
    screened = model.data.screened_out if model.data else None
    yield f"Screening: {f'{screened} candidates were tested and not hired' if screened is not None else UNKNOWN}."
    paid = model.data.results.cost.paid if model.data and model.data.results.cost else None
    told = f"{paid.amount:,.2f} for {paid.hours:,.1f} hours, until {paid.until}" if paid else UNKNOWN
    yield f"Pay: {told}. Who the labelers are, their countries, languages and ages: {UNKNOWN}; names are not published."


def _work(what: str, spent: Cost) -> list[str]:
    groups = ", ".join(f"{count} {group.replace('_', '-')}" for group, count in spent.labelers.items()) or UNKNOWN
    kinds = ", ".join(f"{work.labels:,} {kind}" for kind, work in spent.work.items()) or UNKNOWN
    hours = f"{spent.hours:,.1f} ({spent.timed:,} labels tell)" if spent.timed else UNKNOWN
    return [what, groups, kinds, hours]


def _provenance(model: Facts) -> Iterable[str]:
    revision = model.run.manifest.code.revision
    weights = [
        [said(name), code(sha256)] for name, sha256 in model.model.files.items() if name.endswith(".safetensors")
    ]
    version = model.run.manifest.code.version + (f" at {revision[:12]}" if revision else "")
    name, walk = model.run.id, code("biddable trace")
    yield (
        f"Run {code(name)}, a model of sha256 {code(model.model.sha256)}, by biddable {version}. In its project "
        f"{code(f'biddable trace {name}')}, or {walk} with the path of these weights, walks back to every snapshot, "
        "label and labeler below it."
    )
    yield table(["weights", "sha256"], weights)
    seen: dict[str, Sequence[str]] = {}
    for one in model.chain:
        for given in model.given[one.id]:
            seen.setdefault(given.sha256, [code(one.id), said(given.name), said(given.file), code(given.sha256)])
    yield table(["first read by", "as", "file", "sha256"], list(seen.values()))
    if model.measured is not None:
        yield f"Measured by run {code(model.measured.id)}, data of sha256 {code(model.data_sha256)}."
