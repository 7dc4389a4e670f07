"""The normalised cuts: the eigenvector alone, and TokenCut and MaskCut from image to box."""

from collections.abc import Callable

import numpy as np
import torch
from published import box_of_cells, keys_of, run_transformer
from published_cuts import affinity, maskcut_masks, second_eigenpair, tokencut_mask
from scene_images import Batch, stretched_scene, voc_batches
from timing import Pairs, Result
from torch import Tensor
from torchvision.ops import box_iou, masks_to_boxes
from tqdm import tqdm

from boxrefine_d2.diagnostics.devices import bf16_instructions
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.normalized_cut import normalized_cut, similarity_edges
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.vit import VisionTransformer

TAU, EPS = 0.2, 1e-5
TARGETS = {900: 6.0, 3600: 30.0}
MIN_SAME_SIDE = 99.9  # percent of the patches
TOKENCUT_TARGET, MASKCUT_TARGET = 2.4, 5.0
TOKENCUT_IMAGES, MASKCUT_IMAGES = 32, 3
MIN_IOU = 0.95


@torch.inference_mode()
def eigenvector_900() -> Result:
    """Measure the eigenvectors of graphs of 30 x 30 patches."""
    return _eigenvector(30, images=16)


@torch.inference_mode()
def eigenvector_3600() -> Result:
    """Measure the eigenvectors of graphs of 60 x 60 patches."""
    return _eigenvector(60, images=4)


def _eigenvector(side: int, images: int) -> Result:
    """Measure both ways from the features to the eigenvector.

    The features are the keys of dino_mini on rendered scenes.
    """
    net = build_backbone("dino_mini")
    pairs, same = Pairs(), []
    for index in tqdm(range(images), desc="graphs", leave=False):
        image, _ = stretched_scene(index, (16 * side, 16 * side))
        tokens = net(normalise_and_pad([image], 16)).tokens()
        expected, [eigenvector] = pairs.add(
            lambda tokens=tokens: second_eigenpair(affinity(tokens[0].numpy(), TAU, EPS))[1],
            lambda tokens=tokens: normalized_cut(similarity_edges(tokens, TAU), EPS).eigenvector,
            1,
        )
        sides = expected > expected.mean(), (eigenvector > eigenvector.mean()).numpy()
        agreeing = np.mean(sides[0] == sides[1])
        same.append(100 * max(agreeing, 1 - agreeing))
    result = Result(pairs, "graph", TARGETS[side**2])
    worst = min(same)
    result.notes.append(
        f"the same side: {np.mean(same):.3f} % of the patches, {worst:.3f} % in the worst graph"
    )
    if np.mean(same) < MIN_SAME_SIDE:
        result.failed.append(f"fewer than {MIN_SAME_SIDE} % of the patches are on the same side")
    return result


@torch.inference_mode()
def tokencut_bf16() -> Result:
    """Measure TokenCut on ViT-S/16 with random weights, on images of VOC's sizes.

    The baseline reads single images in float32, ours reads batches in bfloat16.
    """
    baseline = build_backbone("dino_vits16", "random:0")
    backbone = build_backbone("dino_vits16", "random:0").bfloat16()
    rule = build_rule("tokencut")
    batches = voc_batches(TOKENCUT_IMAGES, 8, multiple=16)

    def ours(batch: Batch) -> list[Tensor]:
        pseudo_boxes = rule(backbone(batch.inputs, image_sizes=batch.sizes))
        return [of_image.boxes[0] for of_image in pseudo_boxes]

    def published(batch: Batch) -> list[Tensor]:
        return [_tokencut_box(baseline, *image) for image in zip(batch.inputs, batch.sizes)]

    # The rule alone, on the same float32 features as the baseline.
    exact = [
        torch.equal(rule(baseline(batch.inputs[:1], image_sizes=batch.sizes[:1]))[0].boxes[0], box)
        for batch in batches
        for box in [_tokencut_box(baseline, batch.inputs[0], batch.sizes[0])]
    ]
    result = _in_turns(batches, published, ours, TOKENCUT_TARGET)
    result.notes.append(f"on equal features {sum(exact)} of {len(exact)} boxes are identical")
    if not all(exact):
        result.failed.append("boxes differ on equal features")
    return result


def _tokencut_box(net: VisionTransformer, image: Tensor, size: tuple[int, int]) -> Tensor:
    qkv, _ = run_transformer(net, image[None])
    grid_size = (image.shape[1] // net.stride, image.shape[2] // net.stride)
    return box_of_cells(tokencut_mask(keys_of(qkv)[0].numpy(), grid_size), net.stride, size)


@torch.inference_mode()
def maskcut_bf16() -> Result:
    """Measure MaskCut without CRF, three masks per image, on ViT-B/8 with random weights.

    The images have 480 x 480 pixels.
    """
    baseline = build_backbone("dino_vitb8", "random:0")
    backbone = build_backbone("dino_vitb8", "random:0").bfloat16()
    rule = build_rule("maskcut", crf=False)
    images = [stretched_scene(i, (480, 480))[0] for i in range(MASKCUT_IMAGES)]
    batches = [Batch(normalise_and_pad([image], 8), [(480, 480)], []) for image in images]

    def ours(batch: Batch) -> list[Tensor]:
        return [rule(backbone(batch.inputs, image_sizes=batch.sizes))[0].boxes[0]]

    def published(batch: Batch) -> list[Tensor]:
        qkv, _ = run_transformer(baseline, batch.inputs)
        masks = maskcut_masks(keys_of(qkv)[0].numpy(), (60, 60))
        x1, y1, x2, y2 = masks_to_boxes(torch.from_numpy(masks[0])[None])[0]
        return [8 * torch.stack([x1, y1, x2 + 1, y2 + 1])]

    return _in_turns(batches, published, ours, MASKCUT_TARGET)


def _in_turns(
    batches: list[Batch],
    published: Callable[[Batch], list[Tensor]],
    ours: Callable[[Batch], list[Tensor]],
    target: float,
) -> Result:
    """Time both ways in turns and compare the first box of each image."""
    ours(batches[0])  # warm up: threads start, kernels are chosen
    pairs, ious = Pairs(), []
    for batch in tqdm(batches, desc="batches", leave=False):
        boxes = pairs.add(
            lambda batch=batch: published(batch),
            lambda batch=batch: ours(batch),
            len(batch.inputs),
        )
        ious += box_iou(*(torch.stack(first) for first in boxes)).diagonal().tolist()
    able = bool(bf16_instructions())
    result = Result(pairs, "image", target if able else None)
    if not able:
        result.notes.append(
            "this CPU has no bf16 instructions: the target does not apply, use fp32"
        )
    mean = float(np.mean(ious))
    result.notes.append(
        f"first boxes: mean IoU with the fp32 box {mean:.3f} (at least {MIN_IOU}), "
        f"{sum(iou == 1 for iou in ious)} of {len(ious)} identical"
    )
    if mean < MIN_IOU:
        result.failed.append(f"the boxes' mean IoU is below {MIN_IOU}")
    return result
