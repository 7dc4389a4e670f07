"""Tagger of nouns in captions that needs no download: words of closed classes, and endings.

The words of the closed classes (articles, prepositions, pronouns, ...) are listed. All other words
are open: a run of open words is a noun phrase whose last word is the noun. Endings tell most verbs
and adverbs. Captions are short and concrete, so this finds most of their nouns; a trained tagger,
such as that of nltk, finds more and is an option of `label_extraction`.
"""

import re
from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CLOSED = _words(
    """
    a an the this that these those some any each every no all both another other such many
    much few several one two three four five six seven eight nine ten and or but nor so yet
    if while as than because though although in on at by for with about against between into
    through during before after above below to from up down out off over under again further
    near next beside behind inside outside around along across toward towards upon onto
    within without beneath underneath among amongst past of like via i you he she it we they
    me him her us them my your his its our their mine yours hers ours theirs who whom whose
    which what where when why how there here is are was were be been being am has have had
    having do does did doing can could will would shall should may might must not very too
    also just only even still then now ever never always often front top bottom left right
    back middle side sits sit sitting stands stand standing lies lie lying lays laying walks
    walk walking runs run running rides ride riding holds hold holding looks look looking
    wears wear wearing eats eat eating plays play playing flies fly flying shows show
    showing goes go going gets get getting takes take taking makes make making hangs hang
    hanging filled covered parked made seen shown taken
    """
)
_ADVERB = re.compile(r"\w{3,}ly$")
_VERB = re.compile(r"\w{3,}(ing|ed)$")
# Nouns and adjectives with the endings of verbs.
_KEPT = _words(
    """
    building ceiling painting clothing morning evening ring king wing string spring thing
    railing sibling wedding pudding bed shed weed seed reed red sled family fly belly jelly
    lily butterfly bully tally rally dolly
    """
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[.,;:!?]")


@dataclass(frozen=True)
class Phrase:
    """Noun phrase. Attributes: words: its words in lower case; the last one is the noun."""

    words: tuple[str, ...]

    @property
    def noun(self) -> str:
        """The noun."""
        return self.words[-1]

    @property
    def text(self) -> str:
        """The phrase as text."""
        return " ".join(self.words)


def phrases_of(caption: str) -> list[Phrase]:
    """Return the noun phrases of a caption, in its order.

    >>> [phrase.text for phrase in phrases_of("A brown dog is running quickly on the wet grass.")]
    ['brown dog', 'wet grass']
    """
    found, run = [], []
    for word in [*_WORD.findall(caption.lower()), "."]:
        if _is_open(word):
            run.append(word)
        elif run:
            found.append(Phrase(tuple(run)))
            run = []
    return found


def _is_open(word: str) -> bool:
    if word in _CLOSED or not word[0].isalpha():
        return False
    return word in _KEPT or not (_ADVERB.match(word) or _VERB.match(word))
