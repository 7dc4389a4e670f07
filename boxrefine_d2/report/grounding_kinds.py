"""Kinds of phrase-grounding runs that have a page, and the words for their sources.

A source answers phrases: a network, CLIP, or a control. The page compares two sources, "before" and
"after".
"""

from dataclasses import dataclass

from boxrefine_d2.evaluation.sources import (
    BEFORE,
    CENTRE,
    CLIP,
    DETECTOR,
    RANDOM,
    REFINED,
    SHUFFLED,
    G,
)

POINTING, BOX = "pointing", "box_acc"  # keys in results.json
METRICS = {POINTING: "pointing", BOX: "box"}


@dataclass(frozen=True)
class Source:
    """Words and style of a source on the page.

    Attributes:
        title: name of the source.
        short: name on a figure.
        why: explanation, a few words.
        style: class in the style sheet, which gives it a colour and a kind of line.
    """

    title: str
    short: str
    why: str
    style: str = "even"


@dataclass(frozen=True)
class GroundingKind:
    """Kind of run.

    Attributes:
        title: title of the page.
        before, after: sources that are compared.
        sources: name -> source, in the order of the table; controls last.
        story: template that describes the run in a sentence or two.
        profile: configuration of the paper.
        phased: True if h and g learnt in turn.
    """

    title: str
    before: str
    after: str
    sources: dict[str, Source]
    story: str
    profile: str
    phased: bool

    @property
    def drawn(self) -> list[str]:
        """Sources whose boxes are drawn; later ones cover earlier ones."""
        return [self.after, *(x for x in self.sources if x == DETECTOR), self.before]


_CONTROLS = {
    SHUFFLED: Source(
        "another phrase",
        "",
        "control: g's answer to a phrase of another image, scored as the answer to this one",
    ),
    CENTRE: Source("centre", "", "control: the image's centre, and the middle half of each side"),
    RANDOM: Source("random", "", "control: a point and a box drawn at random"),
}
_CLIP_WHY = "the places that CLIP attends to when it reads the phrase"

GROUNDING_KINDS = {
    "HeatmapTraining": GroundingKind(
        title="Phrase grounding without boxes: results of g",
        before=CLIP,
        after=G,
        sources={
            CLIP: Source("CLIP's relevance", "CLIP", f"{_CLIP_WHY}; g's teacher", "before"),
            G: Source(
                "g", "g", "the network that was trained, from images and phrases alone", "after"
            ),
            **_CONTROLS,
        },
        story="grounding/trained.html",
        profile="configs/grounding_train.yaml",
        phased=False,
    ),
    "GroundingRefiner": GroundingKind(
        title="Box-based refinement of phrase grounding: results",
        before=BEFORE,
        after=REFINED,
        sources={
            CLIP: Source("CLIP's relevance", "CLIP", f"{_CLIP_WHY}; nothing here changes it"),
            BEFORE: Source("g before", "g before", "the heatmaps of g before refinement", "before"),
            REFINED: Source("g after", "g after", "the heatmaps of g after refinement", "after"),
            DETECTOR: Source(
                "h",
                "h",
                "the boxes that the detector reads off the heatmaps of g after; it has no point",
                "h",
            ),
            **_CONTROLS,
        },
        story="grounding/refined.html",
        profile="configs/grounding_refine.yaml",
        phased=True,
    ),
}
