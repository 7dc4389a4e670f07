"""Hostile weight files: one reader reads all files of pre-training, and refuses them."""

import pytest
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.pretraining.mae import build_inpainter
from boxrefine_d2.pretraining.move_features import build_features
from boxrefine_d2.refinement.trunks import build_trunk
from tests.networks.hostile_files import WRITERS, mark_of

NAMES = (
    *("pipe", "folder", "device", "nothing", "git-lfs pointer", "noise", "gigabytes of zeros"),
    *("pickle mkdir, protocol 4", "torch zip with code", "code by BUILD", "memo far away"),
    *("array of terabytes", "unknown codec", "tuple nested as a key", "numbers as keys"),
    *("tensor expanded to terabytes", "not a number", "dictionary in itself"),
    *("cut to 70%, archive", "safetensors cut short", "archive with an entry renamed"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_refuses_hostile_files(tmp_path, name):
    path = tmp_path / "weights.pth"
    WRITERS[name](path)
    for build in (
        lambda: build_inpainter("mae_mini", str(path)),
        lambda: build_trunk("small_cnn", outputs=6, norm="BN", weights=str(path)),
        lambda: build_features("dino_mini", str(path)),
    ):
        with pytest.raises(UserError, match=r"^[^\n]{1,1500}$"):
            build()
    assert not mark_of(path).exists()


def test_weights_that_are_not_finite_are_refused(tmp_path):
    builders = {
        "inpainter": lambda weights: build_inpainter("mae_mini", weights),
        "trunk": lambda weights: build_trunk("small_cnn", outputs=6, norm="BN", weights=weights),
    }
    for name, build in builders.items():
        state = build("random").state_dict()
        key, value = next((k, v) for k, v in state.items() if v.is_floating_point() and v.ndim > 1)
        torch.save(state | {key: value * torch.nan}, tmp_path / f"{name}.pth")
        with pytest.raises(UserError, match=f"not finite, first: {key}"):
            build(str(tmp_path / f"{name}.pth"))
