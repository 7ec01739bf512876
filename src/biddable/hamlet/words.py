"""The words of Hamlet: a few hundred of everyday English, an old tongue, and nothing else."""

ANIMALS = ("goat", "hen", "fox", "dog", "cat", "cow", "pig", "duck", "horse", "sheep", "mouse", "owl")
FOODS = ("bread", "milk", "cheese", "apple", "soup", "cake", "honey", "egg", "fish", "rice", "salt", "butter")
COLORS = ("red", "blue", "green", "yellow", "white", "black", "brown", "gray")
PLACES = ("river", "mill", "hill", "barn", "market", "forest", "bridge", "garden", "well", "road")
JOBS = ("baker", "farmer", "miller", "teacher", "doctor", "singer", "painter", "smith", "tailor", "fisher")
THINGS = ("hat", "coat", "cart", "lamp", "book", "drum", "rope", "bell", "chair", "boat")
NAMES = (
    "anna", "tom", "ben", "clara", "david", "emma", "frank", "greta",
    "hugo", "ida", "jack", "kate", "leo", "mary", "nora", "oscar",
)  # fmt: skip
MOODS = ("big", "small", "old", "young", "happy", "sad", "kind", "brave", "quiet", "hungry")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DAYS = ("monday", "tuesday", "friday", "sunday")
INSULTS = ("fool", "stupid", "ugly", "lazy", "silly")

WENT = ("walked to", "ran to", "went to", "came to")  # motion: … the {place}
MET = ("saw", "met", "found", "helped", "followed")  # one body to another

CLASSES = {"animal": ANIMALS, "food": FOODS, "color": COLORS, "place": PLACES, "job": JOBS, "thing": THINGS}
PLURALS = {kind: kind + "s" for kind in CLASSES}
MANY = {
    "goat": "goats", "hen": "hens", "fox": "foxes", "dog": "dogs", "cat": "cats", "cow": "cows", "pig": "pigs",
    "duck": "ducks", "horse": "horses", "sheep": "sheep", "mouse": "mice", "owl": "owls",
}  # fmt: skip

OLD_TONGUE = {  # the second dialect: other words, and the color comes after the name
    "goat": "gat", "hen": "hinna", "fox": "voss", "dog": "hund", "cat": "kotta", "cow": "kuh", "pig": "svin",
    "duck": "anda", "horse": "rossa", "sheep": "faar", "mouse": "muis", "owl": "ula",
    "red": "rud", "blue": "blau", "green": "gron", "yellow": "gula", "white": "vit", "black": "sort",
    "brown": "brun", "gray": "gra",
    "river": "flod", "mill": "molla", "hill": "hoyd", "barn": "lada", "market": "torg", "forest": "skog",
    "bridge": "bro", "garden": "hage", "well": "brunn", "road": "vei",
    "near": "naer",
}  # fmt: skip

GRAMMAR = """
school painted a an the and or of to in on at for with from near is are was were am be has have do does did not no
yes i you it they me my your this that there here who what why how when can will please thank hello dear welcome
sorry hope helps help helped once upon time day one said say asked gave give took take make want like likes live
lives sell sold eat eats ate know name people some again then because story tale letter sign list write tell sum up
find count text word sentences use happy friend friends house home tongue old fresh sweet good kind rude polite well
today long two things ideas gift brother years color job animal food place hurt lose bring about over away back come
came went walked ran saw met found followed lost sad night big mix cook add pot fire see grass seeds corn worms hay
bones put sentence better worse more most very all now
""".split()  # noqa: SIM905 (a text is how words are read)


def vocabulary() -> tuple[str, ...]:
    """Every word of the language, each once, in an order that does not change."""
    classes = (
        *CLASSES.values(), NAMES, MOODS, NUMBERS, DAYS, INSULTS, tuple(PLURALS.values()), tuple(MANY.values()),
        tuple(OLD_TONGUE.values()),
    )  # fmt: skip
    verbs = tuple(word for phrase in (*WENT, *MET) for word in phrase.split())
    return tuple(dict.fromkeys([*(word for group in classes for word in group), *verbs, *GRAMMAR]))


def a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
