"""The run: images are decoded ahead in worker processes, go through network and rule by the batch, and are kept.

Decoding, the network and the finishing of masks overlap; what is finished is in the journal.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from detectron2.utils import comm
from tqdm import tqdm

from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec
from boxrefine_d2.data.frames import with_pixel_sizes
from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader
from boxrefine_d2.data.mappers import ImageMapper, SqueezedImageMapper, WholeImageMapper
from boxrefine_d2.data.pseudo_label_file import id_order, write_ordered_pseudo_labels
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.build import Rule, dense_solves_of, facet_of, mask_steps_of
from boxrefine_d2.errors import UserError
from boxrefine_d2.features import Backbone, build_backbone
from boxrefine_d2.features.device import check_device, precision_of
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.structures import FeatureMap

from .finishing import finisher, grid_masks
from .finite_maps import read_finite_maps
from .journal import Entry, Journal
from .observing import observe, observes, statistics_file
from .planning import failure, plan_batches
from .settings import DiscoverySettings

logger = logging.getLogger(__name__)

Record = dict[str, Any]


@dataclass(frozen=True)
class DiscoverySummary:
    """How a run over a data set ended; `seconds` are those of this run, resumed images not counted in `done_now`."""

    done: int
    done_now: int
    failed: int
    seconds: float
    written: bool = True

    def __str__(self) -> str:
        rate = self.done_now / self.seconds if self.seconds else 0.0
        counts = f"{self.done} images done, {self.failed} failed, {rate:.1f} images/s"
        return counts if self.written else f"{counts}; other shards are not finished"


def discover_dataset(
    data: str,
    output: Path,
    settings: DiscoverySettings,
    *,
    device: str = "cpu",
    num_workers: int = 2,
    shard: tuple[int, int] | None = None,
) -> DiscoverySummary:
    """Pseudo-labels of every image of a dataset spec, written whole to `output`.

    What is done is kept in a journal beside the output, so that an interrupted run with the same settings continues.
    Batches are fixed by data and settings, so neither ranks, shards nor interruptions change a byte.

    Args:
        shard: (number from 1, of how many): only that part of the batches, for machines that do not talk to each
            other; whoever finds all journals complete writes the file. By default this process's rank under torchrun.
    Returns: the counts over all ranks.
    Raises: UserError for anything the user gave wrong, and if no image could be done.
    """
    start = perf_counter()
    check_device(device)
    if settings.precision == "bf16" and device == "cpu":
        logger.warning(
            "bf16 is fast on CPUs with instructions for it (AVX512-BF16, AMX); on others fp32 is many times faster"
        )
    rule = build_rule(settings.method, **settings.parameters)
    backbone = build_backbone(settings.backbone, settings.weights)
    facet = facet_of(rule, backbone.facets)  # mistakes come before any image is read
    if require := mask_steps_of(rule).require:
        require()
    dataset = with_pixel_sizes(load_spec(data), data)
    records = dataset.records
    images = (record["file_name"] for record in records)
    check_output_file(output, inputs=[*files_of_spec(data), settings.weights or "", *images])
    mapper = image_mapper(settings, rule)
    batches, too_large = plan_batches(records, mapper, settings.batch_size, backbone.stride)
    info = settings.info(backbone, records)
    journal = Journal(output, info)
    comm.synchronize()  # before anyone writes
    first, step = (
        (comm.get_rank(), comm.get_world_size()) if shard is None else (shard[0] - 1, shard[1])
    )
    todo = [i for i in range(first, len(batches), step) if i not in journal]
    backbone.to(device, precision_of(settings.precision))
    if observes(rule):
        seen = WholeImageLoader(batches, mapper, num_workers)
        observe(rule, _maps(seen, backbone, facet, len(records)), output, info)
    done_now = 0
    with journal.open(first), _progress(len(records), journal, batches, first, step) as bar:
        loader = WholeImageLoader([batches[i] for i in todo], mapper, num_workers)
        for index, entry in _entries(todo, loader, rule, backbone, facet, num_workers):
            journal.add(index, entry)
            done_now += len(entry["images"])
            bar.update(len(batches[index]))
    seconds = perf_counter() - start
    done_by_all = sum(comm.all_gather(done_now))
    if not comm.is_main_process():
        return DiscoverySummary(0, done_now, 0, seconds)
    journal.read()
    if len(journal) < len(batches):
        if shard is None:
            raise UserError(
                f"{len(batches) - len(journal)} of {len(batches)} batches are in journals that this process cannot see; "
                f"put all files {output.name}.journal.* into one folder and run the same command without torchrun"
            )
        return DiscoverySummary(done_now, done_now, 0, seconds, written=False)
    others = {"other_files": dict(dataset.other_files)} if dataset.other_files else {}
    images, failed = _write(output, journal, info, others, len(records), too_large)
    statistics_file(output).unlink(missing_ok=True)
    return DiscoverySummary(images, done_by_all, failed, perf_counter() - start)


def image_mapper(settings: DiscoverySettings, rule: Rule) -> ImageMapper:
    """How the rule's network gets its image: squeezed to a square, or whole, reduced above `max_side`."""
    side = getattr(rule, "input_side", 0)
    return SqueezedImageMapper(side) if side else WholeImageMapper(settings.max_side)


@torch.no_grad()
def _maps(
    loader: WholeImageLoader, backbone: Backbone, facet: str, images: int
) -> Iterator[FeatureMap]:
    """The map of every batch of which anything can be read."""
    with tqdm(total=images, unit="img", desc="observe") as bar:
        for samples in loader.with_unreadable():
            features, _ = read_finite_maps(samples, backbone, facet)
            if features:
                yield features
            bar.update(len(samples))


@torch.no_grad()
def _entries(
    todo: list[int],
    loader: WholeImageLoader,
    rule: Rule,
    backbone: Backbone,
    facet: str,
    num_workers: int,
) -> Iterator[tuple[int, Entry]]:
    """The finished batches: for each image its line and its annotations, and what failed."""
    steps = mask_steps_of(rule)
    with finisher(steps, num_workers) as finish:
        for index, samples in zip(todo, loader.with_unreadable(), strict=True):
            features, samples = read_finite_maps(samples, backbone, facet)
            readable = [s for s in samples if not isinstance(s, UnreadableImage)]
            work, solved_before = [], dense_solves_of(rule)
            if features:
                pairs = zip(readable, rule(features), strict=True)
                work = [
                    (s["image_id"], grid_masks(s, boxes, features, steps)) for s, boxes in pairs
                ]
            images, failed = _lines(samples)
            counts = {"failed": failed, "dense_solves": dense_solves_of(rule) - solved_before}
            for what, annotations in finish.add((index, images, counts), work):
                yield _entry(*what, annotations)
        for what, annotations in finish.rest():
            yield _entry(*what, annotations)


def _lines(samples: list[Record | UnreadableImage]) -> tuple[list[Record], list[dict[str, str]]]:
    """The file's lines for the images of a batch, and its failures."""
    images = [
        {
            "id": s["image_id"],
            "file_name": s["relative_name"],
            "width": s["width"],
            "height": s["height"],
        }
        for s in samples
        if not isinstance(s, UnreadableImage)
    ]
    failed = [failure(s.record, s.reason) for s in samples if isinstance(s, UnreadableImage)]
    return images, failed


def _entry(
    index: int,
    images: list[Record],
    counts: dict[str, Any],
    annotations: list[list[dict[str, Any]]],
) -> tuple[int, Entry]:
    pairs = [list(pair) for pair in zip(images, annotations, strict=True)]
    return index, {"images": pairs} | counts


def _write(
    output: Path,
    journal: Journal,
    info: dict[str, Any],
    others: dict[str, Any],
    asked: int,
    failed: list[dict[str, str]],
) -> tuple[int, int]:
    """The file from the journals, which are then removed; (images, failed images) in it.

    Args: others: what else `info` says in the file; a journal does not depend on it.
    """
    order = []
    failed = list(failed)
    solves = 0
    for index, entry in journal.entries():
        order += [(id_order(image["id"]), index, i) for i, (image, _) in enumerate(entry["images"])]
        failed += entry["failed"]
        solves += entry["dense_solves"]
    if not order:
        journal.remove()
        raise UserError(f"none of the {asked} images could be done; first: {failed[0]['reason']}")
    order.sort()
    entry_of = lru_cache(maxsize=256)(journal.entry)
    write_ordered_pseudo_labels(
        output,
        images=(entry_of(index)["images"][i][0] for _, index, i in order),
        annotations=(line for _, index, i in order for line in entry_of(index)["images"][i][1]),
        info=info
        | others
        | {
            "images_failed": sorted(failed, key=lambda failure: failure["file_name"]),
            "dense_solves": solves,
        },
    )
    journal.remove()
    return len(order), len(failed)


@contextmanager
def _progress(
    images: int, journal: Journal, batches: list[list[Record]], shard: int, shards: int
) -> Iterator[tqdm]:
    bar = tqdm(
        total=images,
        initial=sum(len(batch) for index, batch in enumerate(batches) if index in journal),
        unit="img",
        desc="discover" if shards == 1 else f"discover (shard {shard + 1} of {shards})",
        disable=not comm.is_main_process(),
    )
    with bar:
        yield bar
