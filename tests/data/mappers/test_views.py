import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.data.mappers.paste_masks import MAX_REGIONS, paste_masks
from boxrefine_d2.data.mappers.views import (
    MultiCropSettings,
    PasteSettings,
    RegionSettings,
    ViewsMapper,
)

CROPS = MultiCropSettings(
    global_size=32, global_area=(0.4, 1), local_size=16, local_area=(0.05, 0.4), local_crops=3
)
PASTE = PasteSettings(size=48, view_area=(0.35, 1.0), region_area=(0.02, 0.5))
REGIONS = RegionSettings(whole_size=64, size=32, view_area=(0.25, 1.0))


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return {"file_name": str(path), "image_id": 7}


def views_mapper(seed=0, **settings):
    return ViewsMapper(crops=CROPS, paste=PASTE, regions=REGIONS, seed=seed, **settings)


def tensors(sample):
    pasted = [sample["view"], sample["paste_masks"]]
    regions = [sample["whole"], sample["region_view"]]
    return [*sample["global_crops"], *sample["local_crops"], *pasted, *regions]


def test_a_sample_holds_the_requested_views(record):
    sample = views_mapper()(record, 0)
    shapes = [tuple(t.shape) for t in tensors(sample)]
    crops = [(3, 32, 32)] * 2 + [(3, 16, 16)] * 3
    pasted, regions = [(3, 48, 48), (MAX_REGIONS, 48, 48)], [(3, 64, 64), (3, 32, 32)]
    assert shapes == crops + pasted + regions
    assert all(t.dtype == torch.uint8 for t in tensors(sample))
    assert set(ViewsMapper(crops=CROPS, paste=None, regions=None, seed=0)(record, 0)) == {
        "file_name",
        "image_id",
        "global_crops",
        "local_crops",
    }


def test_seed_and_position_alone_decide(record):
    mapper = views_mapper()
    torch.manual_seed(1)
    first = tensors(mapper(record, 5))
    state = torch.random.get_rng_state()
    again = tensors(views_mapper(cache_bytes=1e9)(record, 5))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert torch.random.get_rng_state().equal(state)
    for other in (mapper(record, 6), views_mapper(seed=1)(record, 5)):
        equal = [a.equal(b) for a, b in zip(first, tensors(other), strict=True)]
        assert equal == [False] * 7 + [True, False]  # the whole image is not drawn


def test_a_region_view_shows_its_crop_of_the_image(tmp_path):
    # the red channel is the column, the green one the row, so a view tells its place
    columns, rows = np.meshgrid(np.arange(200), np.arange(120))
    path = tmp_path / "ramp.png"
    Image.fromarray(np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8)).save(path)
    mapper = views_mapper()
    mapper._jitter = torch.nn.Identity()
    turned = set()
    for position in range(12):
        sample = mapper({"file_name": str(path), "image_id": 0}, position)
        left, top, right, bottom = sample["region_crop"].tolist()
        view = sample["region_view"].float()
        turned.add(left > right)
        centres = (torch.arange(32) + 0.5) / 32
        expected = (left + (right - left) * centres) * 200 - 0.5
        torch.testing.assert_close(view[0, 16], expected, atol=3, rtol=0)
        expected = (top + (bottom - top) * centres) * 120 - 0.5
        torch.testing.assert_close(view[1, :, 16], expected, atol=3, rtol=0)
    assert turned == {True, False}


def test_regions_have_the_requested_sizes_and_some_soft_borders():
    small, large, second, soft = [], [], 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        masks = paste_masks(64, (0.02, 0.04), rng)
        small.append((masks[0] > 127).mean())
        second += bool(masks[1].any())
        soft += bool(((masks > 0) & (masks < 255)).any())
        large.append((paste_masks(64, (0.3, 0.5), rng)[0] > 127).mean())
    assert np.mean(small) < 0.06 and 0.15 < np.mean(large) < 0.6
    assert min(small) > 0 and max(large) < 1
    assert 12 <= second <= 36  # 40 % of 60
    assert 30 <= soft <= 54  # 70 %
