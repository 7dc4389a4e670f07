"""Labels of Tux Paint's stamps: a short phrase and one of five coarse categories."""

import re

CATEGORIES = ("animal", "food", "object", "plant", "vehicle")  # their COCO ids are 1..5

# The longest listed folder that contains a stamp decides its category; the rest are objects.
_CATEGORY_OF_FOLDER = {
    "animals": "animal",
    "animals/mammals/bears/toys": "object",
    "food": "food",
    "military/vehicles": "vehicle",
    "plants": "plant",
    "plants/flowers/plastic": "object",
    "vehicles": "vehicle",
}
_MOST_WORDS = 5
_SENTENCE_STARTERS = ("it's", "this", "these", "that", "there", "i", "you", "we")


def category_of(name: str) -> str:
    """Return the category of a stamp, from its path below the stamps folder."""
    folders = name.split("/")[:-1]
    for depth in range(len(folders), 0, -1):
        category = _CATEGORY_OF_FOLDER.get("/".join(folders[:depth]))
        if category:
            return category
    return "object"


def phrase_of(name: str, description: str) -> str:
    """Return a noun phrase for a stamp, in lower case.

    It comes from the English description, which is the first line of the text file beside the
    stamp. If that is empty, an exclamation or a sentence, it comes from the file name.

    "A peacock (a male peafowl)." -> "a peacock"; "Eat your broccoli!" -> the file name, "broccoli".
    """
    text = description.strip().replace("’", "'")
    text = re.split(r"[(—,;:]|\s-\s", text, maxsplit=1)[0]
    text = re.sub(r"[\"“”]", "", text).strip()
    head = re.match(r"[^.!?]*", text)
    words = head.group().lower().split() if head else []
    exclaimed = text.endswith(("!", "?")) or "! " in text
    if words and not exclaimed and len(words) <= _MOST_WORDS and words[0] not in _SENTENCE_STARTERS:
        return " ".join(words)
    return _words_of_file_name(name)


def _words_of_file_name(name: str) -> str:
    """Return the words of a file name: "Candy_cane_photo_1.png" -> "candy cane".

    "ww2_german_gun.png" -> "ww2 german gun".
    """
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower()
    words = re.sub(r"(?<=[a-z]{3})\d+[a-z]?\b", "", re.sub(r"[^a-z0-9]+", " ", words))
    kept = [word for word in words.split() if not word.isdigit() and word != "photo"]
    return " ".join(kept) or stem
