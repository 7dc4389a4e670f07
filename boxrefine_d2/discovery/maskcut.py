"""MaskCut: several objects by repeated normalised cuts (CutLER, arXiv:2301.11320).

Rules and their order follow CutLER's code.

Shapes: B images, N = h * w cells in row-major order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.agreement import mask_iou
from boxrefine_d2.masks.components import component_of
from boxrefine_d2.masks.crf import crf_masks, require_pydensecrf
from boxrefine_d2.masks.steps import MaskSteps
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import pseudo_boxes_of
from .normalized_cut import normalized_cut, similarity_edges
from .rule import DiscoveryRule
from .tokencut import bipartition, first_largest


@dataclass
class _Image:
    """State of one image between rounds.

    Attributes:
        cells: (N,) bool, the cells of the graph.
        proposed: mask of the last cut; None before the first cut and after the graph has changed.
        score: score of the last cut.
        previous: mask of the last round, empty if it was rejected; None before the first round.
        masks: masks emitted so far.
        scores: scores of these masks.
        finished: True if no later round can emit a mask.
    """

    cells: Tensor
    proposed: np.ndarray | None = None
    score: float = 0.0
    previous: np.ndarray | None = None
    masks: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    finished: bool = False


@DISCOVERY_REGISTRY.register_as("maskcut")
class MaskCut(DiscoveryRule):
    """Rule with at most `n_masks` disjoint masks per image.

    Each mask comes from a cut of the graph that the masks before it have left.

    Args (keyword):
        n_masks: number of rounds.
        tau, eps, tie_tolerance: see `TokenCut`.
        input_side: side in pixels of the square to which images are squeezed; 0 keeps their shape,
            as for TokenCut.
        max_corners: a side of a cut that holds more of the grid's four corners is the background.
        flip_on_two_corners: if true, a side with two corners is the background, as in a thesis on
            MaskCut. It is the same as max_corners 1, and max_corners is ignored.
        max_iou: a mask with a larger IoU with the mask of the round before is rejected.
        min_area: share of the grid; a mask that covers no more is rejected. The first mask is never
            rejected.
        repeat_rejected: if true, the rule follows the code. A rejected mask changes nothing, and
            the next round cuts the same mask. Then it is not compared with any mask. Its part that
            no mask covers is emitted, unless the mask was too small. If false, a rejected mask ends
            the rounds.
        mask_affinity: if true, found cells leave the graph, as in the same thesis, where their
            affinity to all cells is 0. If false, the rule follows the code. The features of found
            cells are 0, and the cells stay in the graph with weight eps to every other cell. All of
            them fall on one side of a later cut, and its component may pass through them.
        crf: the parameters of `crf_masks`, with which discover.py refines the masks; False for no
            refinement.
    """

    def __init__(
        self,
        *,
        n_masks: int,
        tau: float,
        eps: float,
        tie_tolerance: float,
        input_side: int,
        max_corners: int,
        flip_on_two_corners: bool,
        max_iou: float,
        min_area: float,
        repeat_rejected: bool,
        mask_affinity: bool,
        crf: dict[str, Any] | Literal[False],
    ):
        if n_masks < 1:
            raise UserError(f"maskcut: n_masks is {n_masks}, but at least 1 is needed")
        if not 0 < eps < 1:
            raise UserError(f"maskcut: eps is {eps}, but a weight above 0 and below 1 is needed")
        self.n_masks = n_masks
        self.tau, self.eps = tau, eps
        self.tie_tolerance = tie_tolerance
        self.input_side = input_side
        self.max_corners = 1 if flip_on_two_corners else max_corners
        self.max_iou, self.min_area = max_iou, min_area
        self.repeat_rejected = repeat_rejected
        self.mask_affinity = mask_affinity
        self.mask_steps = MaskSteps(
            refine=partial(crf_masks, **crf) if crf else None,
            require=require_pydensecrf if crf else None,
            upsampling="bicubic",
            boxes_from_masks=True,
        )

    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, with masks in the order of the rounds.

        The score is 1 - lambda of the round's cut.
        """
        *_, result = self.after_each_round(features)
        return result

    @torch.no_grad()
    def after_each_round(self, features: FeatureMap) -> Iterator[list[PseudoBoxes]]:
        """Yield the results of the rule for 1, 2, ... `n_masks` rounds.

        A later round adds at most one mask and changes no other mask.
        """
        edges = similarity_edges(features.tokens(), self.tau)
        every = torch.ones(edges.shape[1], dtype=torch.bool, device=edges.device)
        images = [_Image(every) for _ in features.image_sizes]
        for _ in range(self.n_masks):
            self._propose(edges, images, features.grid_size)
            for image, image_edges in zip(images, edges, strict=True):
                if not image.finished:
                    self._end_round(image, image_edges)
            yield pseudo_boxes_of([x.masks for x in images], [x.scores for x in images], features)

    def _propose(self, edges: Tensor, images: list[_Image], grid_size: tuple[int, int]) -> None:
        """Cut the graphs that have changed."""
        todo = [
            i for i, image in enumerate(images) if image.proposed is None and not image.finished
        ]
        # Graphs that have lost cells differ in size and cannot form one batch.
        together = [[i] for i in todo] if self.mask_affinity else [todo] if todo else []
        for batch in together:
            cells = images[batch[0]].cells
            graphs = edges if len(batch) == len(edges) else edges[batch]
            if self.mask_affinity:
                graphs = graphs[:, cells][:, :, cells]
            cut = normalized_cut(graphs, self.eps)
            self.dense_solves += int(cut.dense.sum())
            foreground, seed = self._sides(cut.eigenvector, cells, grid_size)
            upper = foreground.cpu().numpy().reshape(-1, *grid_size)
            for row, i in enumerate(batch):
                cell = divmod(int(seed[row]), grid_size[1])
                images[i].proposed = component_of(upper[row], cell)
                images[i].score = 1 - float(cut.eigenvalue[row])

    def _sides(
        self, eigenvector: Tensor, cells: Tensor, grid_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Return the foreground (B, N) and its seed (B,).

        The foreground is the side of the largest value, as in TokenCut, unless this side holds too
        many corners. The code applies the corner rule to the upper side, which depends on the sign
        of the solver. If the largest value lies on the side with the corners, the code's result
        depends on that sign. Here the corners always decide.

        Args:
            eigenvector: (B, n), values of the n cells of the graph.
            cells: (N,) bool, the cells of the graph.
            grid_size: (h, w).
        """
        strongest = bipartition(eigenvector, self.tie_tolerance)
        foreground = cells.repeat(len(eigenvector), 1)
        foreground[:, cells] = strongest.foreground
        corners = foreground.unflatten(1, grid_size)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        turned = corners.sum(dim=1, keepdim=True) > self.max_corners
        extreme = torch.where(turned, -strongest.eigenvector, strongest.eigenvector)
        seed = first_largest(extreme, self.tie_tolerance)
        return (foreground ^ turned) & cells, cells.nonzero()[seed, 0]

    def _end_round(self, image: _Image, edges: Tensor) -> None:
        """Emit or reject the proposed mask; remove the cells of an accepted mask from the graph.

        Args: edges: (N, N), the graph of the image.
        """
        mask, previous = image.proposed, image.previous
        if mask is None:
            return
        if previous is not None:
            small = mask.mean() <= self.min_area
            if small or mask_iou(mask, previous) > self.max_iou:
                image.finished = small or not self.repeat_rejected
                image.previous = np.zeros_like(mask)
                return
        taken = np.any([*image.masks, np.zeros_like(mask)], axis=0)
        if (mask & ~taken).any():
            image.masks.append(mask & ~taken)
            image.scores.append(image.score)
        image.previous, image.proposed = mask, None
        covered = torch.from_numpy(mask.ravel()).to(edges.device)
        if self.mask_affinity:
            image.cells = image.cells & ~covered
            image.finished = not image.cells.any()
            return
        edges[covered] = 0
        edges[:, covered] = 0
