"""Discovery run over a data set.

Worker processes decode images ahead. The network and the rule process them in batches. The journal
keeps each finished batch. Decoding, the network and the finishing of masks run at the same time.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from detectron2.utils import comm

from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec, parse_spec
from boxrefine_d2.data.frames import with_pixel_sizes
from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader
from boxrefine_d2.data.mappers import ImageMapper
from boxrefine_d2.data.records import Record
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule, ObservingRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.networks import MapNetwork, build_backbone
from boxrefine_d2.networks.device import check_device, precision_of
from boxrefine_d2.progress import Bar, progress_bar
from boxrefine_d2.structures import FeatureMap

from .ending import DiscoverySummary, Plan, end
from .finishing import finisher, grid_masks
from .finite_maps import read_finite_maps
from .journal import Entry, Journal
from .observing import observe
from .one_image import image_mapper
from .planning import failure, plan_batches
from .settings import DiscoverySettings
from .sharing import Share, claim

logger = logging.getLogger(__name__)


def discover_dataset(
    data: str,
    output: Path,
    settings: DiscoverySettings,
    *,
    device: str = "cpu",
    num_workers: int = 2,
    shard: tuple[int, int] | None = None,
) -> DiscoverySummary:
    """Write pseudo-labels of every image of a dataset spec to `output`, whole or not at all.

    Finished batches are kept in a journal beside the output. An interrupted run with the same
    settings continues from it. Data and settings alone determine the batches: ranks, shards and
    interruptions do not change a byte of the output.

    Args:
        num_workers: processes that decode images, and as many that refine masks; 0 for none.
        shard: (number from 1, count): compute only that part of the batches, for machines that do
            not communicate. The shard that finds all journals complete writes the file; one that
            starts later has nothing to do. Default: this process's rank under torchrun.
    Returns: the counts over all ranks.
    Raises: UserError for a user's mistake, if no image could be done, and if another process works
        on the same output.
    """
    start = perf_counter()
    rule = _rule_of(settings, data, device)
    backbone = build_backbone(settings.backbone, settings.weights)
    facet = rule.choose_facet(backbone.facets)  # report mistakes before any image is read
    dataset = with_pixel_sizes(load_spec(data), data)
    records = dataset.records
    base = _records_of(settings.base) if settings.base else records
    files = [*files_of_spec(data), *files_of_spec(settings.base or data), settings.weights or ""]
    check_output_file(output, inputs=[*files, *(r["file_name"] for r in (*records, *base))])
    mapper = image_mapper(settings, rule)
    batches, too_large = plan_batches(records, mapper, settings.batch_size, backbone.stride)
    info = settings.info(backbone, records, base)
    part = Share.of(shard)
    journal = claim(output, info, part)
    if journal is None:
        remark = (
            f"{output} was written before from the same images and settings; to compute it again, "
            "remove it"
        )
        return DiscoverySummary(0, 0, 0, perf_counter() - start, remark=remark)
    with journal:
        todo = [i for i in range(part.first, len(batches), part.step) if i not in journal]
        backbone.to(device, precision_of(settings.precision))
        if isinstance(rule, ObservingRule) and any(comm.all_gather(bool(todo))):
            maps = _maps(base, mapper, settings.batch_size, backbone, facet, num_workers)
            observe(rule, maps, output, info)
        done_now = 0
        with _progress(len(records), journal, batches, part) as bar:
            loader = WholeImageLoader([batches[i] for i in todo], mapper, num_workers)
            for index, entry in _entries(todo, loader, rule, backbone, facet, num_workers):
                journal.add(index, entry)
                done_now += len(entry["images"])
                bar.update(len(batches[index]))
        others = {"other_files": dict(dataset.other_files)} if dataset.other_files else {}
        plan = Plan(output, info, others, [len(batch) for batch in batches], too_large)
        return end(plan, journal, part, done_now, perf_counter() - start)


def _rule_of(settings: DiscoverySettings, data: str, device: str) -> DiscoveryRule:
    """Return the rule, after the checks that need no weights. Raises: UserError."""
    parse_spec(data)
    check_device(device)
    rule = build_rule(settings.method, **settings.parameters)
    if settings.base and not isinstance(rule, ObservingRule):
        raise UserError(
            f"--base {settings.base}: {settings.method} reads one image at a time and needs no "
            "other data; leave --base out, or choose --method representer"
        )
    if require := rule.mask_steps.require:
        require()
    if settings.precision == "bf16" and device == "cpu":
        logger.warning(
            "bf16 is fast on CPUs with instructions for it (AVX512-BF16, AMX); on others fp32 is "
            "many times faster"
        )
    return rule


def _records_of(spec: str) -> list[Record]:
    return list(with_pixel_sizes(load_spec(spec), spec).records)


@torch.no_grad()
def _maps(
    records: Sequence[Record],
    mapper: ImageMapper,
    batch_size: int,
    backbone: MapNetwork,
    facet: str,
    num_workers: int,
) -> Iterator[FeatureMap]:
    """Yield the feature map of every batch that has a readable image; report images without."""
    batches, _ = plan_batches(records, mapper, batch_size, backbone.stride)
    loader = WholeImageLoader(batches, mapper, num_workers)
    read, images = 0, len(records)
    with progress_bar("observe", total=images) as bar:
        for samples in loader.with_unreadable():
            features, _ = read_finite_maps(samples, backbone, facet)
            if features:
                read += len(features)
                yield features
            bar.update(len(samples))
    if read < images:
        logger.warning("statistics: %d of %d images are left out", images - read, images)


@torch.no_grad()
def _entries(
    todo: list[int],
    loader: WholeImageLoader,
    rule: DiscoveryRule,
    backbone: MapNetwork,
    facet: str,
    num_workers: int,
) -> Iterator[tuple[int, Entry]]:
    """Yield the index and the journal entry of each finished batch.

    An entry holds each image with its annotations, and the images that failed.
    """
    steps = rule.mask_steps
    with finisher(steps, num_workers) as finish:
        for index, samples in zip(todo, loader.with_unreadable(), strict=True):
            features, samples = read_finite_maps(samples, backbone, facet)
            readable = [s for s in samples if not isinstance(s, UnreadableImage)]
            work, solved_before = [], rule.dense_solves
            if features:
                pairs = zip(readable, rule(features), strict=True)
                work = [
                    (s["image_id"], grid_masks(s, boxes, features, steps)) for s, boxes in pairs
                ]
            images, failed = _lines(samples)
            counts = {"failed": failed, "dense_solves": rule.dense_solves - solved_before}
            for batch, annotations in finish.add((index, images, counts), work):
                yield _entry(batch, annotations)
        for batch, annotations in finish.rest():
            yield _entry(batch, annotations)


def _lines(samples: list[Record | UnreadableImage]) -> tuple[list[Record], list[dict[str, str]]]:
    """Return the output file's entries for the images of a batch, and those for its failures."""
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
    batch: tuple[int, list[Record], dict[str, Any]], annotations: list[list[dict[str, Any]]]
) -> tuple[int, Entry]:
    index, images, counts = batch
    pairs = [list(pair) for pair in zip(images, annotations, strict=True)]
    return index, {"images": pairs} | counts


def _progress(images: int, journal: Journal, batches: list[list[Record]], part: Share) -> Bar:
    """Return a progress bar over the images of all shards; images in the journal count as done."""
    title = "discover" if part.step == 1 else f"discover (shard {part.first + 1} of {part.step})"
    done = sum(len(batch) for index, batch in enumerate(batches) if index in journal)
    return progress_bar(title, total=images, done=done, shown=comm.is_main_process())
