"""Conversion of a rule's boxes and masks into annotations of the output file.

It runs in worker processes if masks are refined by their image.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from typing import Any

import torch

from boxrefine_d2.interrupts import sigint_blocked
from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.masks.steps import GridMasks, MaskSteps
from boxrefine_d2.structures import FeatureMap, PseudoBoxes, to_xywh

Annotation = dict[str, Any]
Sample = dict[str, Any]

BATCHES_AHEAD = 4  # batches that may wait for their masks while the network continues


def grid_masks(
    sample: Sample, boxes: PseudoBoxes, features: FeatureMap, steps: MaskSteps
) -> GridMasks:
    """Return the rule's boxes and masks of one image, on the CPU.

    Args: sample: mapped image with its original height and width in pixels, and with its window if
            the input does not show the whole image as it is.
        boxes: boxes of that image.  features: feature map of the image's batch.
        steps: steps that make masks of the original image; with a refinement, they need the input.
    """
    size, window = (sample["height"], sample["width"]), sample.get("window")
    boxes = boxes.to("cpu")
    read = boxes.soft_masks if steps.reads_soft_masks else boxes.masks
    masks = None if read is None else read.numpy()
    grid_size = features.grid_size if masks is None else masks.shape[1:]
    padded = features.padded_size
    return GridMasks(
        masks=masks,
        boxes=boxes.resized(window.size if window else size).boxes.double().numpy(),
        scores=boxes.scores.double().numpy(),
        strides=(padded[0] / grid_size[0], padded[1] / grid_size[1]),
        input_size=boxes.input_size,
        image_size=size,
        image=sample["image"].permute(1, 2, 0).numpy() if steps.refine else None,
        window=window,
    )


def annotations_of(image_id: int | str, on_grid: GridMasks, steps: MaskSteps) -> list[Annotation]:
    """Return the annotations of one image in the file's format, in the rule's order: best first."""
    on_image = steps(on_grid)
    annotations = [
        {"image_id": image_id, "bbox": to_xywh(box), "score": score}
        for box, score in zip(on_image.boxes.tolist(), on_image.scores.tolist(), strict=True)
    ]
    if on_image.masks is not None:
        for annotation, rle in zip(annotations, encode_masks(on_image.masks), strict=True):
            annotation["segmentation"] = rle
    return annotations


Work = list[tuple[int | str, GridMasks]]


def _annotations_of_batch(work: Work, steps: MaskSteps) -> list[list[Annotation]]:
    return [annotations_of(image_id, on_grid, steps) for image_id, on_grid in work]


# a batch's annotations, or a future that holds them later
_Done = Future[list[list[Annotation]]] | list[list[Annotation]]


class Finisher:
    """Conversion of batches into annotations, in the order in which the batches were added.

    With a pool, the conversion of a batch overlaps the computation of later batches.
    """

    def __init__(self, steps: MaskSteps, pool: ProcessPoolExecutor | None):
        self.steps = steps
        self._pool = pool
        self._waiting: deque[tuple[Any, _Done]] = deque()

    def add(self, batch: Any, work: Work) -> Iterator[tuple[Any, list[list[Annotation]]]]:
        """Add a batch, and yield finished batches with their annotations.

        If more than `BATCHES_AHEAD` batches wait, it waits for the first of them.

        Args: batch: any object; it is yielded together with the annotations.
        """
        done: _Done
        if self._pool is None:
            done = _annotations_of_batch(work, self.steps)
        else:
            done = self._pool.submit(_annotations_of_batch, work, self.steps)
        self._waiting.append((batch, done))
        yield from self._take(BATCHES_AHEAD if self._pool else 0)

    def rest(self) -> Iterator[tuple[Any, list[list[Annotation]]]]:
        """Wait for all added batches, and yield them."""
        yield from self._take(0)

    def _take(self, left: int) -> Iterator[tuple[Any, list[list[Annotation]]]]:
        while self._waiting:
            batch, done = self._waiting[0]
            if isinstance(done, Future):
                if len(self._waiting) <= left and not done.done():
                    return
                done = done.result()
            self._waiting.popleft()
            yield batch, done


@contextmanager
def finisher(steps: MaskSteps, num_workers: int) -> Iterator[Finisher]:
    """Yield a finisher, with worker processes if masks are refined.

    A refinement takes longer than the network.
    """
    if steps.refine is None or num_workers == 0:
        yield Finisher(steps, None)
        return
    # no fork, because the network may hold threads and a GPU
    resource_tracker.ensure_running()
    with sigint_blocked():
        forkserver.ensure_running()
    context = get_context("forkserver")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker)
    try:
        yield Finisher(steps, pool)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _start_worker() -> None:
    """Prepare this worker process. The processes share the cores, and each takes one."""
    torch.set_num_threads(1)
    _end_with_parent()


def _end_with_parent() -> None:
    """End this worker process when its parent has ended, for whatever reason.

    Without this, the worker would wait for work forever.
    """
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
