"""Sources of boxes: the map of a producer, then steps that lead from it to a mask.

Steps: LCAR (Coarse2Fine, AAAI 2023); the weight map (arXiv:2111.14131) has none, and takes the
bright pixels; representer points take grey levels, as in their release. The box is that of the
largest contour of the mask, in every source.

Shapes: B images of S x S pixels.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor

from boxrefine_d2.discovery.affinity_refinement import min_max, refine_by_affinity
from boxrefine_d2.discovery.largest_contour import bright_pixels
from boxrefine_d2.discovery.orientation import oriented
from boxrefine_d2.discovery.reprediction import Repredictor
from boxrefine_d2.discovery.superpixels import felzenszwalb_superpixels
from boxrefine_d2.errors import UserError

SEED = "cam"  # producer of the seed for `orientation`

# reasons that are counted
EMPTY_MASK = "empty mask, box of the whole image"
EMPTY_SGRM = "empty mask of sgrm, the part above the mean instead"
ONE_SUPERPIXEL = "one superpixel, no votes for sgrm"


@dataclass(frozen=True)
class MapBatch:
    """Maps of a batch with their images.

    Attributes:
        maps: (B, S, S) in [0, 1].
        images: (B, 3, S, S) uint8 RGB.
        seeds: (B, S, S) bool, pixels of the object; None if the model draws no class activation.
        counts: images by the reason for which a step could not work as it should.
    """

    maps: Tensor
    images: Tensor
    seeds: Tensor | None = None
    counts: Counter[str] = field(default_factory=Counter)


MapStep = Callable[[MapBatch], Tensor]  # to maps (B, S, S) in [0, 1]
MaskStep = Callable[[MapBatch], Tensor]  # to masks (B, S, S) bool


@dataclass(frozen=True)
class BoxSource:
    """A source of boxes.

    Attributes:
        words: the producer and the steps by name, as the configuration lists them.
        steps: steps on the map.
        mask: step from the map to the mask.
    """

    words: tuple[str, ...]
    steps: tuple[MapStep, ...]
    mask: MaskStep

    @property
    def producer(self) -> str:
        """Producer of the map."""
        return self.words[0]

    @property
    def name(self) -> str:
        """Name in file names and tables, such as "cam_arm_sgrm"."""
        return "_".join(self.words)

    def __call__(self, batch: MapBatch) -> tuple[Tensor, Tensor]:
        """Return the maps after all steps, (B, S, S), and the masks, (B, S, S) bool."""
        for step in self.steps:
            batch = replace(batch, maps=step(batch))
        masks = self.mask(batch)
        batch.counts[EMPTY_MASK] += int((~masks.flatten(1).any(dim=1)).sum())
        return batch.maps, masks


def sources_of(cfg: CfgNode) -> list[BoxSource]:
    """Return the sources of LOCALIZATION.SOURCES.

    Raises: UserError for an unknown step, a mask step before the end, or a source named twice.
    """
    node, discovery = cfg.LOCALIZATION, cfg.DISCOVERY
    arm = {key.lower(): value for key, value in discovery.ARM.items()}
    sgrm = {key.lower(): value for key, value in discovery.SGRM.items()}
    map_steps: dict[str, MapStep] = {"arm": partial(_arm, arm), "orientation": _orientation}
    mask_steps: dict[str, MaskStep] = {
        **{name: partial(step, node.BOX_SHARE) for name, step in SHARE_STEPS.items()},
        "above_mean": above_mean,
        "sgrm": partial(_sgrm, sgrm),
    }
    sources = [_source(tuple(words), map_steps, mask_steps) for words in node.SOURCES]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"LOCALIZATION.SOURCES names {twice.replace('_', ', ')} twice")
    return sources


def _source(
    words: tuple[str, ...], map_steps: Mapping[str, MapStep], mask_steps: Mapping[str, MaskStep]
) -> BoxSource:
    steps = list(words[1:])
    last = steps[-1] if steps else ""
    own_step = _step_with_share(last)
    if own_step is not None:
        mask_steps = {**mask_steps, last: own_step}
    mask = steps.pop() if last in mask_steps else "bright"
    unknown = next((word for word in steps if word not in map_steps), None)
    if unknown:
        place = "must be the last step" if unknown in mask_steps else "is no step"
        known = f"on the map {', '.join(map_steps)}; last {', '.join(mask_steps)}, {SHARES}"
        raise UserError(f"LOCALIZATION.SOURCES {list(words)}: {unknown} {place}; known: {known}")
    return BoxSource(words, tuple(map_steps[word] for word in steps), mask_steps[mask])


def _step_with_share(word: str) -> MaskStep | None:
    """Return the step of a word such as bright=0.4; None for any other word.

    Raises: UserError for a share that is no number above 0 and at most 1.
    """
    name, equals, text = word.partition("=")
    if name not in SHARE_STEPS or not equals:
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UserError(
            f"LOCALIZATION.SOURCES: {word}: the share must be a number above 0, at most 1"
        )
    return partial(SHARE_STEPS[name], share)


def above_mean(batch: MapBatch) -> Tensor:
    """Return the pixels above the mean of their map, as TokenCut's."""
    return batch.maps > batch.maps.mean(dim=(1, 2), keepdim=True)


def _arm(parameters: Mapping[str, float | str | int], batch: MapBatch) -> Tensor:
    refined: Tensor = refine_by_affinity(batch.maps, batch.images / 255, **parameters)  # type: ignore[arg-type]
    return refined


def _orientation(batch: MapBatch) -> Tensor:
    if batch.seeds is None:
        raise UserError(
            "LOCALIZATION.SOURCES: orientation needs the seed of a class activation, which this "
            "model does not draw; leave it out"
        )
    return oriented(batch.maps, batch.seeds)


def bright(share: float, batch: MapBatch) -> Tensor:
    """Return the pixels from a share of the largest value of their map."""
    masks = [bright_pixels(heatmap, share) for heatmap in batch.maps.cpu().numpy()]
    return torch.from_numpy(np.array(masks).reshape(batch.maps.shape)).to(batch.maps.device)


def grey(share: float, batch: MapBatch) -> Tensor:
    """Return the pixels whose grey level, of 256, exceeds a share of the largest one, rounded down.

    The release of representer points reads its maps in this way.
    """
    levels = (batch.maps * 255).to(torch.uint8)
    high = levels.amax(dim=(1, 2), keepdim=True)
    return levels > (share * high.double()).to(torch.uint8)


SHARE_STEPS: Mapping[str, Callable[[float, MapBatch], Tensor]] = {"bright": bright, "grey": grey}
SHARES = ", ".join(f"{name}=SHARE" for name in SHARE_STEPS)


def _sgrm(parameters: Mapping[str, float], batch: MapBatch) -> Tensor:
    """Return SGRM's masks; where one is empty, the part of the map above its mean."""
    size = {key: parameters[key] for key in ("scale", "sigma", "min_size")}
    images = batch.images.permute(0, 2, 3, 1).cpu().numpy()
    superpixels = torch.from_numpy(
        np.array([felzenszwalb_superpixels(image, **size) for image in images])  # type: ignore[arg-type]
    ).to(batch.maps.device)
    own = {key: value for key, value in parameters.items() if key not in size}
    predicted = Repredictor(**own)(min_max(batch.maps), batch.images / 255, superpixels).masks  # type: ignore[arg-type]
    found = predicted.flatten(1).any(dim=1)
    batch.counts[EMPTY_SGRM] += int((~found).sum())
    batch.counts[ONE_SUPERPIXEL] += int((superpixels.amax(dim=(1, 2)) == 0).sum())
    return torch.where(found[:, None, None], predicted, above_mean(batch))
