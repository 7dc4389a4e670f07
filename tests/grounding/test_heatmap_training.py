"""Training of g: inputs of its losses, its answers, and the content of a checkpoint."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.grounding.heatmap_training import HeatmapTraining
from boxrefine_d2.language import relevance_maps


@pytest.fixture
def model(parts):
    return HeatmapTraining(name="tiny", weight_decay=0.0, **parts)


def test_a_fixed_batch_is_learnt_and_clip_is_not(model, training_batch):
    before = {k: v.clone() for k, v in model.clip.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=3e-3)
    model.train()
    totals = []
    for _ in range(40):
        losses = model(training_batch)
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert set(losses) == {"loss_relevance", "loss_area", "loss_foreground", "loss_background"}
    assert totals[-1] < 0.8 * totals[0]
    assert all(v.equal(before[k]) for k, v in model.clip.state_dict().items())
    assert all(p.grad is None for p in model.clip.parameters())


def test_bfloat16_gives_nearly_the_same_losses(parts, training_batch):
    runs = []
    for autocast in (False, True):
        model = HeatmapTraining(name="tiny", weight_decay=0.0, autocast=autocast, **parts).train()
        runs.append(model(training_batch))
        assert all(loss.dtype == torch.float32 for loss in runs[-1].values())
    for key, exact in runs[0].items():
        torch.testing.assert_close(runs[1][key], exact, rtol=0.05, atol=0.02)
    assert any(not runs[1][key].equal(exact) for key, exact in runs[0].items())


def test_answers_of_every_source(model, test_batch):
    model.eval()
    answers = model(test_batch)
    assert [list(answer["grounding"]) for answer in answers] == [["clip", "g", "shuffled"]] * 3
    assert [list(answer["grounding"]["g"]) for answer in answers] == [[7, 9], [7], []]
    for found in answers[0]["grounding"]["g"].values():
        assert 0 <= found.point[0] < 64 and 0 <= found.point[1] < 48


def test_an_answer_does_not_depend_on_the_batch(model, test_batch):
    model.eval()
    together = model(test_batch)[0]["grounding"]
    alone = model(test_batch[:1])[0]["grounding"]
    for source, by_query in together.items():
        for key, one in by_query.items():
            assert one.point == alone[source][key].point
            torch.testing.assert_close(
                torch.tensor(one.boxes), torch.tensor(alone[source][key].boxes), atol=1e-3, rtol=0
            )


def test_the_source_clip_is_its_relevance_map(model, test_batch):
    """The point is a maximum of the map, resized to the image."""
    model.eval()
    images = model.normalised_images(test_batch[1:2])
    maps = relevance_maps(model.clip, images, model.clip.encode_text(["grass"]))
    resized = F.interpolate(maps[:, None], size=(48, 64), mode="bilinear", align_corners=False)[
        0, 0
    ]
    x, y = model(test_batch)[1]["grounding"]["clip"][7].point
    assert resized[y, x] > resized.max() - 1e-4


def test_a_checkpoint_holds_g_alone_and_loads(model, parts):
    state = model.state_dict()
    assert state and not any(key.startswith("clip.") for key in state)
    with torch.no_grad():
        for parameter in model.map_network.parameters():
            parameter.add_(1.0)
    model.load_state_dict(state, strict=True)
    assert all(value.equal(state[key]) for key, value in model.state_dict().items())


def test_parts_that_do_not_fit_are_refused(parts):
    parts["map_network"].text_dim = 512
    with pytest.raises(
        UserError, match="reads texts of 512 dimensions, and those of MODEL.CLIP have 12"
    ):
        HeatmapTraining(name="tiny", weight_decay=0.0, **parts)
    parts["map_network"].text_dim = 12
    with pytest.raises(UserError, match="INPUT.SQUARE_SIZE 30 is no multiple"):
        HeatmapTraining(name="tiny", weight_decay=0.0, **parts | {"square_size": 30})
