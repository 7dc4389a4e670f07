"""The runs of phrase grounding that a page is written for, and what their sources are in words.

A source is what answers phrases: a network, CLIP, or a control. One is compared with another: "before" and "after".
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

POINTING, BOX = "pointing", "box_acc"  # as in results.json
METRICS = {POINTING: "pointing", BOX: "box"}


@dataclass(frozen=True)
class Source:
    """What the page says of a source.

    Attributes:
        title: what it is called.
        short: the same on a picture.
        why: what it does, a few words.
        style: its class in the style sheet, which gives it a colour and a kind of line.
    """

    title: str
    short: str
    why: str
    style: str = "even"


@dataclass(frozen=True)
class GroundingKind:
    """A kind of run.

    Attributes:
        title: of the page.
        before, after: the sources that are compared.
        sources: name -> source, in the order of the table; controls last.
        story: the template that says what was done, in a sentence or two.
        profile: the configuration of the paper.
        phased: whether h learnt in turn with g.
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
        """The sources whose boxes are drawn, the lowest first."""
        return [self.after, *(x for x in self.sources if x == DETECTOR), self.before]


_CONTROLS = {
    SHUFFLED: Source(
        "another phrase",
        "",
        "control: g's answer to a phrase of another image, scored as if to this one",
    ),
    CENTRE: Source("centre", "", "control: the image's centre, and the middle half of each side"),
    RANDOM: Source("random", "", "control: a point and a box drawn at random"),
}
_CLIP_WHY = "where CLIP looks when it reads the phrase, by its attention"

GROUNDING_KINDS = {
    "HeatmapTraining": GroundingKind(
        title="Phrase grounding without boxes: what g learnt",
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
        title="Box-based refinement of phrase grounding: what it found",
        before=BEFORE,
        after=REFINED,
        sources={
            CLIP: Source("CLIP's relevance", "CLIP", f"{_CLIP_WHY}; nothing here changes it"),
            BEFORE: Source(
                "g before", "g before", "the heatmaps of g as refinement found it", "before"
            ),
            REFINED: Source(
                "g after", "g after", "the heatmaps of g as refinement left it", "after"
            ),
            DETECTOR: Source(
                "h",
                "h",
                "the boxes that the detector reads off g's heatmaps after; it has no point",
                "h",
            ),
            **_CONTROLS,
        },
        story="grounding/refined.html",
        profile="configs/grounding_refine.yaml",
        phased=True,
    ),
}
