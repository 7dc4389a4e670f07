"""Early stopping by the share of a map inside its own box."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.localization.class_model import ClassAnswer
from boxrefine_d2.localization.early_stop import KeepBestMap, inside_share
from boxrefine_d2.structures import ResizedCrop


def example():
    heatmap = np.zeros((8, 10))
    heatmap[1:5, 1:5] = 0.9
    heatmap[2, 2] = 1.0
    heatmap[6, 6:] = 0.5
    heatmap[0, 9] = 0.09
    heatmap[5, 7] = 0.1
    return heatmap


def test_box_and_share_of_the_example():
    found = inside_share(example(), 0.1)
    assert found.box.tolist() == [1, 1, 5, 5]
    assert found.share == pytest.approx(14.5 / 16.6)


def test_a_map_of_zeros_has_the_share_0():
    assert inside_share(np.zeros((4, 4)), 0.1).share == 0


class Scripted(nn.Module):
    """A model whose maps are whole blobs, or blobs in two parts, as the script says."""

    def __init__(self):
        super().__init__()
        self.map_network = nn.Linear(1, 1)
        self.parts = 1

    def answers(self, batch):
        heatmap = torch.zeros(4, 9)
        heatmap[:, :4] = 1
        heatmap[:, 5 : 4 + self.parts] = 1
        return [ClassAnswer({"weight_map": heatmap})] * len(batch)


def run(model, script, start=(), **changes):
    """Train by a script of parts per iteration; return the hook."""
    frame = ResizedCrop((4, 9), (4, 9), 0, 0, (4, 9))
    object_ = {"bbox": [0, 0, 4, 4], "bbox_mode": 0, "iscrowd": 0}
    records = {"1.png": {"image_id": 1, "height": 4, "width": 9, "annotations": [object_]}}
    settings = {"period": 1, "bright_share": 0.1, "criterion": "inside_share"} | changes
    hook = KeepBestMap(
        model, "weight_map", [[{"file_name": "1.png", "frame": frame}]], records=records, **settings
    )
    if start:
        hook.load_state_dict(start)
    storage = SimpleNamespace(put_scalar=lambda *a, **k: None)
    first = len(hook.checks)
    for place, parts in enumerate(script[first:], start=first):
        model.parts = parts
        with torch.no_grad():
            model.map_network.weight.fill_(float(place))
        hook.trainer = SimpleNamespace(iter=place, max_iter=len(script), storage=storage)
        hook.after_step()
    return hook


def test_the_first_of_the_best_networks_is_kept():
    model = Scripted()
    hook = run(model, [3, 1, 1, 4])
    assert hook.best.iteration == 2
    assert model.map_network.weight.item() == 1
    assert [check.inside_share for check in hook.checks] == pytest.approx([2 / 3, 1, 1, 4 / 7])
    assert hook.checks[1].gt_known == 100
    assert hook.checks[1].mean_map == pytest.approx(16 / 36)


def test_the_excess_prefers_a_small_box_to_the_whole_image():
    model = Scripted()
    hook = run(model, [6, 1, 1, 3], criterion="inside_excess")
    assert hook.best.iteration == 3
    assert hook.checks[1].inside_excess == pytest.approx(1 - 16 / 36)
    assert hook.checks[3].inside_excess == pytest.approx(16 / 24 - 16 / 36)


def test_the_excess_of_a_single_check_is_not_enough():
    """A jump counts half; the earlier of two equal checks is kept."""
    model = Scripted()
    hook = run(model, [5, 1, 4, 2, 2, 2], criterion="inside_excess")
    excess = [check.inside_excess for check in hook.checks]
    assert max(excess) == excess[1]
    assert hook.best.iteration == 5
    assert model.map_network.weight.item() == 4


def test_without_restoring_the_last_network_stays():
    model = Scripted()
    hook = run(model, [1, 3], criterion="none")
    assert hook.best.iteration == 2
    assert model.map_network.weight.item() == 1


def test_a_resumed_run_keeps_what_the_interrupted_one_found():
    interrupted = Scripted()
    hook = run(interrupted, [3, 1])
    resumed = Scripted()
    again = run(resumed, [3, 1, 4, 4], start=hook.state_dict())
    assert again.best.iteration == 2
    assert resumed.map_network.weight.item() == 1


def test_a_period_leaves_out_iterations_and_never_the_last():
    hook = run(Scripted(), [1, 1, 1, 1, 1], period=2)
    assert [check.iteration for check in hook.checks] == [2, 4, 5]


def test_no_readable_image_is_one_line():
    hook = KeepBestMap(
        *(Scripted(), "weight_map", []),
        records={},
        period=1,
        bright_share=0.1,
        criterion="inside_share",
    )
    hook.trainer = SimpleNamespace(iter=0, max_iter=9)
    with pytest.raises(UserError, match="none of its images can be read"):
        hook.after_step()
