"""Runs a rule over a data set and writes the record: data set + map network + rule -> pseudo-label file."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import torch
from detectron2.utils import comm
from tqdm import tqdm

import boxrefine_d2
from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.discovery import build_rule, rule_parameters
from boxrefine_d2.discovery.build import Rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.features import Backbone, build_backbone, padded_size
from boxrefine_d2.features.padding import normalise_and_pad
from boxrefine_d2.structures import PseudoBoxes

logger = logging.getLogger(__name__)

# the pairwise similarities of one batch may take this much, whatever the machine has: results do not depend on it
MAX_AFFINITY_BYTES = 4 * 2**30
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Record = dict[str, Any]


@dataclass(frozen=True)
class DiscoverySettings:
    """Everything the content of a pseudo-label file depends on, besides the images and the weights' bytes.

    Attributes: parameters: those of the method that differ from the paper profile.
    """

    method: str
    backbone: str = "dino_vits16"
    weights: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8
    precision: str = "fp32"
    max_side: int = 800

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UserError(
                f"precision {self.precision!r} is unknown; known: {', '.join(PRECISIONS)}"
            )
        if self.batch_size < 1:
            raise UserError(f"batch size is {self.batch_size}, but at least 1 image is needed")
        if self.max_side < 0:
            raise UserError(f"max side is {self.max_side}; give pixels, or 0 for no limit")


@dataclass(frozen=True)
class DiscoverySummary:
    """How a run over a data set ended; `seconds` are those of this run, resumed images not counted in `done_now`."""

    done: int
    done_now: int
    failed: int
    seconds: float

    def __str__(self) -> str:
        rate = self.done_now / self.seconds if self.seconds else 0.0
        return f"{self.done} images done, {self.failed} failed, {rate:.1f} images/s"


def discover_dataset(
    data: str,
    output: Path,
    settings: DiscoverySettings,
    *,
    device: str = "cpu",
    num_workers: int = 2,
) -> DiscoverySummary:
    """Pseudo-labels of every image of a dataset spec, written whole to `output`.

    What is done is kept in a journal beside the output, so that an interrupted run with the same settings continues.
    Under several ranks each takes every n-th batch; batches are fixed by data and settings, so neither ranks nor
    interruptions change a byte.

    Returns: the counts over all ranks.
    Raises: UserError for anything the user gave wrong, and if no image could be done.
    """
    start = perf_counter()
    _check_device(device)
    if settings.precision == "bf16" and device == "cpu":
        logger.warning(
            "bf16 is fast on CPUs with instructions for it (AVX512-BF16, AMX); on others fp32 is many times faster"
        )
    rule = build_rule(settings.method, **settings.parameters)
    backbone = build_backbone(settings.backbone, settings.weights)
    records = load_spec(data).records
    batches, failed = _plan(records, settings, backbone)
    info = _info(settings, backbone, records)
    rank, ranks = comm.get_rank(), comm.get_world_size()
    finished = _read_journals(output, info)
    comm.synchronize()
    todo = [i for i in range(rank, len(batches), ranks) if i not in finished]
    backbone.to(device, PRECISIONS[settings.precision])
    mapper = WholeImageMapper(settings.max_side)
    loader = WholeImageLoader([batches[i] for i in todo], mapper, num_workers)
    done_now = 0
    with _journal(output, info, rank) as journal, _progress(records, finished, ranks) as bar:
        for index, samples in zip(todo, loader.with_unreadable(), strict=True):
            entry = _entry(samples, rule, backbone, device)
            finished[index] = entry
            journal.write(json.dumps([index, entry]) + "\n")
            journal.flush()
            done_now += len(entry["images"])
            bar.update(len(samples))
    parts = comm.gather((finished, done_now), dst=0)
    if not comm.is_main_process():
        return DiscoverySummary(0, done_now, 0, perf_counter() - start)
    merged = {index: entry for part, _ in parts for index, entry in part.items()}
    entries = [merged[index] for index in range(len(batches))]
    failed += [failure for entry in entries for failure in entry["failed"]]
    images = [image for entry in entries for image in entry["images"]]
    if not images:
        _remove_journals(output)
        raise UserError(
            f"none of the {len(records)} images could be done; first: {failed[0]['reason']}"
        )
    write_pseudo_labels(
        output,
        images=images,
        annotations=[a for entry in entries for a in entry["annotations"]],
        info=info | {"images_failed": sorted(failed, key=lambda failure: failure["file_name"])},
    )
    _remove_journals(output)
    seconds = perf_counter() - start
    return DiscoverySummary(len(images), sum(n for _, n in parts), len(failed), seconds)


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used: {reason}; cpu always works") from error


def _plan(
    records: Sequence[Record], settings: DiscoverySettings, backbone: Backbone
) -> tuple[list[list[Record]], list[dict[str, str]]]:
    """Batches, split where their similarities would exceed the limit, and the images that exceed it alone."""
    mapper = WholeImageMapper(settings.max_side)

    def padded(size: tuple[int, int]) -> tuple[int, int]:
        return padded_size(size, backbone.stride)

    batches, failed = [], []
    for batch in equal_size_batches(records, mapper, padded, settings.batch_size):
        size = (batch[0]["height"], batch[0]["width"])
        if not all(size):
            batches.append(batch)
            continue
        height, width = padded(mapper.input_size(*size))
        affinity_bytes = 4 * (height * width // backbone.stride**2) ** 2
        fit = MAX_AFFINITY_BYTES // affinity_bytes
        if fit:
            batches += [batch[i : i + fit] for i in range(0, len(batch), fit)]
            continue
        failed += [
            _failure(
                record,
                f"{record['width']} x {record['height']} pixels need {affinity_bytes / 2**30:.0f} GiB of "
                f"similarities, {MAX_AFFINITY_BYTES / 2**30:.0f} are allowed; lower --max-side",
            )
            for record in batch
        ]
    return batches, failed


def _info(
    settings: DiscoverySettings, backbone: Backbone, records: Sequence[Record]
) -> dict[str, Any]:
    """What the file says of itself; equal infos mean that a journal may be continued."""
    named = [[r["image_id"], r["relative_name"], r["height"], r["width"]] for r in records]
    return {
        "software": "boxrefine_d2",
        "version": boxrefine_d2.__version__,
        "method": settings.method,
        "parameters": rule_parameters(settings.method, **settings.parameters),
        "backbone": settings.backbone,
        "weights": asdict(backbone.weights_info),
        "batch_size": settings.batch_size,
        "precision": settings.precision,
        "max_side": settings.max_side,
        "images_asked": len(records),
        "images_sha256": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
    }


@torch.no_grad()
def _entry(
    samples: list[Record | UnreadableImage], rule: Rule, backbone: Backbone, device: str
) -> dict[str, Any]:
    """One journal entry: the images and annotations of a batch, and what failed in it."""
    readable = [sample for sample in samples if not isinstance(sample, UnreadableImage)]
    entry: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "failed": [_failure(s.record, s.reason) for s in samples if isinstance(s, UnreadableImage)],
    }
    if not readable:
        return entry
    images = [sample["image"].to(device, torch.float32) for sample in readable]
    sizes = [tuple(image.shape[-2:]) for image in images]
    features = backbone(normalise_and_pad(images, backbone.stride), image_sizes=sizes)
    for sample, boxes in zip(readable, rule(features), strict=True):
        size = (sample["height"], sample["width"])
        entry["images"].append(
            {
                "id": sample["image_id"],
                "file_name": sample["relative_name"],
                "width": size[1],
                "height": size[0],
            }
        )
        entry["annotations"] += _annotations(sample["image_id"], boxes.resized(size).to("cpu"))
    return entry


def _annotations(image_id: int | str, boxes: PseudoBoxes) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for (x1, y1, x2, y2), score in zip(boxes.boxes.tolist(), boxes.scores.tolist(), strict=True)
    ]


def _failure(record: Record, reason: str) -> dict[str, str]:
    return {"file_name": record["relative_name"], "reason": reason}


@contextmanager
def _progress(
    records: Sequence[Record], finished: dict[int, dict[str, Any]], ranks: int
) -> Iterator[tqdm]:
    done = sum(len(entry["images"]) + len(entry["failed"]) for entry in finished.values())
    bar = tqdm(
        total=len(records),
        initial=done,
        unit="img",
        desc="discover" if ranks == 1 else f"discover (rank 0 of {ranks})",
        disable=not comm.is_main_process(),
    )
    with bar:
        yield bar


def _journals(output: Path) -> list[Path]:
    return sorted(output.parent.glob(f"{output.name}.journal.*"))


def _read_journals(output: Path, info: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Finished batches of an interrupted run, whatever its number of ranks.

    Raises: UserError if a journal is of other settings, naming them.
    """
    finished: dict[int, dict[str, Any]] = {}
    for path in _journals(output):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        # a line without its end was being written when the run was killed
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if not whole:
            continue
        differing = [key for key in info if whole[0].get(key) != info[key]]
        if differing:
            raise UserError(
                f"{path} is of an interrupted run with other settings ({', '.join(differing)}); repeat that run, or "
                "remove the file to start anew"
            )
        finished |= {index: entry for index, entry in whole[1:]}
    return finished


@contextmanager
def _journal(output: Path, info: dict[str, Any], rank: int) -> Iterator[TextIO]:
    """A new journal of this rank, headed by the settings; those of earlier runs stay until all is done."""
    output.parent.mkdir(parents=True, exist_ok=True)
    number = sum(1 for path in _journals(output) if path.suffix.startswith(f".{rank}-"))
    path = output.with_name(f"{output.name}.journal.{rank}-{number}")
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(info) + "\n")
        file.flush()
        yield file


def _remove_journals(output: Path) -> None:
    for path in _journals(output):
        path.unlink()
