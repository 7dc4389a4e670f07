"""Features and LOST at VOC's full resolution, with ViT-S/16 and random weights, on the CPU."""

import torch
from machine import matmul_gflops
from published import keys_of, lost_box, run_transformer
from scene_images import Batch, voc_batches
from timing import Pairs, Result
from torch import Tensor
from torchvision.ops import box_iou
from tqdm import tqdm

from boxrefine_d2.diagnostics.devices import bf16_instructions
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.evaluation.corloc import is_localised
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.vit import VisionTransformer
from boxrefine_d2.pseudo_labels import DiscoverySettings

SETTINGS = DiscoverySettings("lost", "dino_vits16", "random:0")
IMAGES = 32
IMAGES_IN_SOFTWARE = 4  # bf16 takes many seconds per image on a CPU without bf16 instructions
FP32_TARGET, BF16_TARGET = 1.1, 2.5
MIN_BF16_IOU = 0.95
# Largest change of CorLoc by bf16, in points. It is measured with a trained network and more
# images: random weights draw boxes by chance, and one image of 32 is three points.
MAX_CORLOC_CHANGE = 1.0
CORLOC_BACKBONE, CORLOC_IMAGES = "dino_mini", 200


@torch.inference_mode()
def fp32() -> Result:
    """Measure ours in float32, which must give the baseline's boxes."""
    batches = voc_batches(IMAGES, SETTINGS.batch_size, multiple=16)
    pairs, published, ours, by_patch = _run(batches, torch.float32)
    differing = [i for i in range(IMAGES) if not torch.equal(published[i], ours[i])]
    ties = [i for i in differing if torch.equal(by_patch[i], ours[i])]
    unexplained = len(differing) - len(ties)
    result = Result(pairs, "image", FP32_TARGET)
    result.notes.append(
        f"boxes: {IMAGES - len(differing)} of {IMAGES} identical, "
        f"{len(ties)} differ by the order of equal degrees, "
        f"{unexplained} otherwise; {_whole(batches, ours)} are the whole image"
    )
    if unexplained:
        result.failed.append(f"{unexplained} boxes differ, and not by a tie")
    result.notes.append(_share_of_limit(batches, result.ours_ms, torch.float32))
    return result


@torch.inference_mode()
def bf16() -> Result:
    """Measure ours in bfloat16 against the baseline in float32: the boxes must be nearly the same.

    The baseline's boxes for this comparison order equal degrees as ours does, because the order of
    ties does not depend on precision.
    """
    able = bool(bf16_instructions())
    images = IMAGES if able else IMAGES_IN_SOFTWARE
    batches = voc_batches(images, min(SETTINGS.batch_size, images // 2), multiple=16)
    pairs, published, ours, by_patch = _run(batches, torch.bfloat16)
    ious, with_ties = _ious(by_patch, ours), _ious(published, ours)
    change = _corloc_change(CORLOC_IMAGES if able else IMAGES_IN_SOFTWARE)
    result = Result(pairs, "image", BF16_TARGET if able else None)
    if able:
        result.notes.append(_share_of_limit(batches, result.ours_ms, torch.bfloat16))
    else:
        result.notes.append(
            "this CPU has no bf16 instructions and does bf16 in software: "
            "the target does not apply, use fp32 here"
        )
    result.notes.append(
        f"boxes: mean IoU with the fp32 box {ious.mean():.3f} (at least {MIN_BF16_IOU}), "
        f"{(ious == 1).sum()} of {images} identical; {with_ties.mean():.3f} with the "
        "baseline's, which breaks ties otherwise"
    )
    result.notes.append(f"CorLoc with {CORLOC_BACKBONE}: {change:+.1f} points")
    if ious.mean() < MIN_BF16_IOU:
        result.failed.append(f"the boxes' mean IoU is below {MIN_BF16_IOU}")
    if abs(change) > MAX_CORLOC_CHANGE:
        result.failed.append(f"CorLoc changes by more than {MAX_CORLOC_CHANGE} point")
    return result


def _ious(some: list[Tensor], others: list[Tensor]) -> Tensor:
    return torch.stack([box_iou(a[None], b[None])[0, 0] for a, b in zip(some, others)])


def _run(
    batches: list[Batch], dtype: torch.dtype
) -> tuple[Pairs, list[Tensor], list[Tensor], list[Tensor]]:
    """Time both ways on every batch.

    Returns: the times; the baseline's boxes; our boxes; the baseline's boxes if equal degrees keep
        the order of the patches.
    """
    baseline = build_backbone(SETTINGS.backbone, SETTINGS.weights)
    backbone = build_backbone(SETTINGS.backbone, SETTINGS.weights).to(dtype)
    rule = build_rule(SETTINGS.method)

    def ours(batch: Batch) -> list[Tensor]:
        pseudo_boxes = rule(backbone(batch.inputs, image_sizes=batch.sizes))
        return [of_image.boxes[0] for of_image in pseudo_boxes]

    rule(backbone(batches[0].inputs[:1]))  # warm up: threads start, kernels are chosen
    pairs, expected, our_boxes, by_patch = Pairs(), [], [], []
    for batch in tqdm(batches, desc="batches", leave=False):
        boxes_and_keys, boxes = pairs.add(
            lambda batch=batch: _published(baseline, batch),
            lambda batch=batch: ours(batch),
            len(batch.inputs),
        )
        our_boxes += boxes
        expected += [box for box, _ in boxes_and_keys]
        by_patch += [
            lost_box(keys, _grid_size(batch), baseline.stride, size, stable=True)
            for (_, keys), size in zip(boxes_and_keys, batch.sizes)
        ]
    return pairs, expected, our_boxes, by_patch


def _published(net: VisionTransformer, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Return the box and the keys of each image."""
    results = []
    for image, size in zip(batch.inputs, batch.sizes):
        qkv, _ = run_transformer(net, image[None])
        keys = keys_of(qkv)[0]
        results.append((lost_box(keys, _grid_size(batch), net.stride, size, stable=False), keys))
    return results


def _grid_size(batch: Batch) -> tuple[int, int]:
    height, width = batch.inputs.shape[2:]
    return height // 16, width // 16


def _whole(batches: list[Batch], boxes: list[Tensor]) -> int:
    sizes = [size for batch in batches for size in batch.sizes]
    return sum(
        box.tolist() == [0, 0, size[1], size[0]] for box, size in zip(boxes, sizes, strict=True)
    )


def _corloc_change(images: int) -> float:
    """Return the points of CorLoc that LOST gains by bf16 on rendered scenes."""
    backbone, rule = build_backbone(CORLOC_BACKBONE), build_rule(SETTINGS.method)
    batches = voc_batches(images, SETTINGS.batch_size, multiple=backbone.stride)

    def localised(dtype: torch.dtype) -> int:
        backbone.to(dtype)
        return sum(
            is_localised(pseudo_boxes.boxes[0].tolist(), gt)
            for batch in tqdm(batches, desc="CorLoc", leave=False)
            for pseudo_boxes, gt in zip(
                rule(backbone(batch.inputs, image_sizes=batch.sizes)), batch.gt_boxes, strict=True
            )
        )

    exact = localised(torch.float32)
    return 100 * (localised(torch.bfloat16) - exact) / images


def _share_of_limit(batches: list[Batch], milliseconds: float, dtype: torch.dtype) -> str:
    """Return a line that compares the time with that of the products alone.

    The products are assumed to run at the speed of one large product.
    """
    net = build_backbone(SETTINGS.backbone, SETTINGS.weights)
    work = sorted(_gflop(net, _grid_size(batch)) for batch in batches)[len(batches) // 2]
    speed = matmul_gflops(dtype)
    limit = 1e3 * work / speed
    return (
        f"limit: {work:.1f} GFLOP an image at {speed:.0f} GFLOP/s (one large product) are "
        f"{limit:.0f} ms; {100 * limit / milliseconds:.0f} % of it is reached"
    )


def _gflop(net: VisionTransformer, grid_size: tuple[int, int]) -> float:
    """Return the GFLOP of the products up to the last block's keys and of LOST's similarities.

    A multiply-add counts as two operations.
    """
    patches = grid_size[0] * grid_size[1]
    tokens, channels = patches + 1, net.cls_token.shape[2]
    block = tokens * 12 * channels**2 + 2 * tokens**2 * channels  # qkv, proj, MLP; q k^T, times v
    embedding = patches * 3 * net.stride**2 * channels
    keys = patches * channels**2
    similarities = patches**2 * channels
    return 2e-9 * (embedding + (len(net.blocks) - 1) * block + keys + similarities)
