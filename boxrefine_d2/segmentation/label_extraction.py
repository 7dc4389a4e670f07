"""Labels of an image from its caption: nouns and noun phrases, drawn and prompted.

A caption gives a set of labels, of which at most K are drawn without replacement. Empty slots get
the caption, as in GroupViT, or PAD, as in the study of its fine-tuning. A list of frequent nouns
may limit the labels.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from boxrefine_d2.errors import UserError, check_choice

from .contrast import PAD
from .noun_tagger import phrases_of

KINDS = ("nouns", "phrases", "both")
TAGGERS = ("rules", "nltk")
FILLS = ("caption", "pad")
Tagger = Callable[[str], list[tuple[str, ...]]]


def tagger_of(name: str) -> Tagger:
    """Return the function from a caption to its noun phrases, each as words.

    Raises: UserError for an unknown name, or if nltk or its data are missing.
    """
    check_choice("tagger", name, TAGGERS)
    if name == "rules":
        return lambda caption: [phrase.words for phrase in phrases_of(caption)]
    return _nltk_phrases()


def labels_of(caption: str, kind: str = "both", tagger: Tagger | None = None) -> list[str]:
    """Return the labels of a caption, each once, in its order; [] for one without nouns.

    >>> labels_of("a small dog and a cat")
    ['dog', 'cat', 'small dog']
    """
    check_choice("labels", kind, KINDS)
    phrases = (tagger or tagger_of("rules"))(caption)
    nouns = [words[-1] for words in phrases]
    whole = [" ".join(words) for words in phrases]
    chosen = {"nouns": nouns, "phrases": whole, "both": [*nouns, *whole]}[kind]
    return list(dict.fromkeys(chosen))


def frequent_nouns(captions: Iterable[str], least: int, tagger: Tagger | None = None) -> set[str]:
    """Return the nouns that occur in at least `least` captions."""
    counts = Counter(noun for c in captions for noun in labels_of(c, "nouns", tagger))
    return {noun for noun, count in counts.items() if count >= least}


def curated(labels: Sequence[str], allowed: Collection[str]) -> list[str]:
    """Return the labels on a list; all of them if none is on it."""
    return [label for label in labels if label in allowed] or list(labels)


def drawn_labels(
    caption: str, labels: Sequence[str], slots: int, fill: str, rng: np.random.Generator
) -> list[str]:
    """Return K labels: at most all of `labels`, without replacement, then fillings.

    Args: slots: K.  fill: "caption", or "pad" for `PAD`.
    """
    check_choice("filling of empty slots", fill, FILLS)
    count = min(slots, len(labels))
    chosen = [labels[i] for i in rng.choice(len(labels), count, replace=False)] if count else []
    return chosen + [PAD if fill == "pad" else caption] * (slots - count)


def _nltk_phrases() -> Tagger:
    try:
        import nltk

        nltk.pos_tag(nltk.word_tokenize("a dog"))
    except ImportError as error:
        raise UserError("the tagger nltk is not installed; pip install nltk, or rules") from error
    except LookupError as error:
        raise UserError(
            "nltk lacks its data; fetch punkt_tab and averaged_perceptron_tagger_eng by its "
            "download command, or use the tagger rules"
        ) from error
    grammar = nltk.RegexpParser("NP: {<NN.*|JJ.*>*<NN.*>}")

    def phrases(caption: str) -> list[tuple[str, ...]]:
        tree = grammar.parse(nltk.pos_tag(nltk.word_tokenize(caption.lower())))
        chunks = tree.subtrees(lambda part: part.label() == "NP")
        return [tuple(word for word, _ in chunk.leaves()) for chunk in chunks]

    return phrases
