"""Network g: shapes, the gate, the papers' names, and the work that phrases of an image share."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import text_heatmap
from boxrefine_d2.networks.shared_upsampling import SharedUpsampling
from boxrefine_d2.networks.text_heatmap import HEATMAPS, build_heatmap, convolved_doubled, our_names
from boxrefine_d2.networks.weights import module_sha256


@pytest.fixture(scope="module")
def mini():
    return build_heatmap("heatmap_mini", "random:0")


def inputs(pairs, side=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, side, side, generator=generator) * 2 - 1
    return images, F.normalize(torch.randn(pairs, 192, generator=generator), dim=1)


def test_the_papers_network_has_their_shapes_and_parameters():
    g = HEATMAPS["heatmap_vgg16"].build().eval()
    used = sum(p.numel() for p in g.parameters())
    # The papers' code also has a batch norm of one channel that it never calls.
    assert used == 17_083_215 - 2
    assert sum(p.numel() for p in g.encoder.parameters()) == 7_635_264
    with torch.no_grad():
        features = g.read(torch.zeros(1, 3, 304, 304))
        assert features.shape == (1, 512, 38, 38)
        assert g.draw(features, torch.ones(1, 512) / 512**0.5, (304, 304)).shape == (1, 1, 304, 304)


def paper_state_dict():
    """Return a state dict of the papers' code in DataParallel, written from the spec."""

    class Block(nn.Module):
        def __init__(self, inputs, outputs, norm2=True):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
            self.BN1, self.BN2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.bottleneck, self.up0, self.up1 = Block(512, 512), Block(512, 512), Block(512, 1)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.Org_model = torchvision.models.vgg16(weights=None).features[:23]

    class PaperNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.E, self.D = Encoder(), Decoder()

    torch.manual_seed(0)
    network = PaperNetwork()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.02)
    return {f"module.{name}": value for name, value in network.state_dict().items()}


def test_their_names_load_and_every_parameter_is_in_its_place(tmp_path):
    state = paper_state_dict()
    torch.save(state, tmp_path / "paper.pth")
    g = build_heatmap("heatmap_vgg16", tmp_path / "paper.pth")
    pairs = {
        "encoder.21.weight": "E.Org_model.21.weight",
        "bottleneck.conv1.bias": "D.bottleneck.conv1.bias",
        "bottleneck.norm2.weight": "D.bottleneck.BN2.weight",
        "up0.conv2.weight": "D.up0.conv2.weight",
        "up1.norm1.running_var": "D.up1.BN1.running_var",
        "up1.conv2.weight": "D.up1.conv2.weight",
    }
    ours = g.state_dict()
    for name, paper_name in pairs.items():
        torch.testing.assert_close(ours[name], state[f"module.{paper_name}"])
    assert len(ours) == len(state) - 5  # the batch norm that is never called
    assert g.weights_info.source == "paper.pth" and not g.training


def test_our_names_stay(mini):
    state = mini.state_dict()
    assert list(our_names(state)) == list(state)


def test_heatmaps_are_in_0_1_at_the_size_of_the_image(mini):
    images, text = inputs(3)
    with torch.no_grad():
        heatmaps = mini(images, text, [0, 1, 1])
    assert heatmaps.shape == (3, 1, 64, 64)
    assert (heatmaps > 0).all() and (heatmaps < 1).all()


def test_phrases_of_an_image_are_as_one_at_a_time(mini):
    images, text = inputs(3)
    with torch.no_grad():
        together = mini(images, text, [1, 0, 1])
        alone = [mini(images[i][None], text[p][None]) for p, i in enumerate([1, 0, 1])]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-5)


def test_the_opposite_text_turns_the_sign_of_the_gate(mini, monkeypatch):
    images, text = inputs(2)
    seen = []
    monkeypatch.setattr(mini.up0, "forward", lambda x: seen.append(x) or F.relu(x))
    with torch.no_grad():
        mini(images, text)
        mini(images, -text)
    torch.testing.assert_close(seen[0], -seen[1])
    assert seen[0].abs().sum() > 0


def test_cells_of_zeros_are_no_nan_and_have_a_finite_gradient(mini):
    features = torch.zeros(1, 192, 4, 4, requires_grad=True)
    heatmap = mini.draw(features, F.normalize(torch.ones(1, 192), dim=1), (64, 64))
    heatmap.sum().backward()
    assert torch.isfinite(heatmap).all() and torch.isfinite(features.grad).all()


def doubled(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def convolution(inputs, outputs, bias=True):
    torch.manual_seed(0)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias).double()


GRIDS = [(1, 1), (1, 6), (7, 1), (2, 2), (3, 5), (8, 4)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_convolution_to_one_channel_may_come_before_the_doubling(grid, bias):
    conv, torch_rng = convolution(6, 1, bias), torch.Generator().manual_seed(1)
    x = torch.randn(3, 6, *grid, generator=torch_rng, dtype=torch.float64, requires_grad=True)
    found, expected = convolved_doubled(conv, x), conv(doubled(x))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    by = torch.randn(expected.shape, generator=torch_rng, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((y * by).sum(), [x, *conv.parameters()]) for y in (found, expected)
    ]
    for ours, plain in zip(*gradients, strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("bias", [True, False])
def test_shared_shares_are_the_convolution_of_each_phrases_doubled_map(grid, bias):
    conv, torch_rng = convolution(4, 5, bias), torch.Generator().manual_seed(1)
    features = torch.randn(4, *grid, generator=torch_rng, dtype=torch.float64, requires_grad=True)
    gates = torch.randn(7, 1, *grid, generator=torch_rng, dtype=torch.float64)
    assert (gates < 0).any() and (gates > 0).any()
    shared = SharedUpsampling(conv, features)
    for some in (gates, gates[2:3]):  # two calls with different gates
        found, expected = shared(some), conv(doubled(some * features))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert not found.requires_grad


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (1, 2)])
@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_phrases_of_one_image_are_drawn_as_each_with_its_own_features(
    mini, monkeypatch, grid, at_once
):
    monkeypatch.setattr(text_heatmap, "PHRASES_ON_CPU", at_once)
    _, text = inputs(5)
    features = torch.randn(1, 192, *grid, generator=torch.Generator().manual_seed(1))
    features[:, :, 0, 0] = 0  # a cell without a direction
    size = (16 * grid[0], 16 * grid[1])
    found = mini.draw_phrases(features, text, size)
    with torch.no_grad():
        expected = mini.draw(features.expand(5, -1, -1, -1), text, size)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (expected[0] - expected[1]).abs().max() > 1e-4  # phrases differ
    assert found.shape == (5, 1, *size) and not found.requires_grad


def test_training_reaches_every_part_of_what_follows_the_text(mini):
    _, text = inputs(2)
    features = torch.randn(2, 192, 3, 3, generator=torch.Generator().manual_seed(1))
    parts = [p for step in (mini.up0, mini.up1) for p in step.parameters()]
    gradients = torch.autograd.grad(mini.draw(features, text, (48, 48)).sum(), parts)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_the_encoder_of_mini_takes_the_trunk_that_ships(mini):
    from boxrefine_d2.networks.weights import read_state_dict

    state = read_state_dict(HEATMAPS["heatmap_mini"].encoder)
    mini_again = build_heatmap("heatmap_mini", "random:0")
    mini_again.encoder.load_state_dict(state, strict=True)
    assert module_sha256(mini_again) != module_sha256(mini)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match="heatmap network 'g' is unknown; known: heatmap_mini"):
        build_heatmap("g")
    with pytest.raises(UserError, match="heatmap_vgg16 has no weights that could be fetched"):
        build_heatmap("heatmap_vgg16")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="is not of heatmap_mini: parameters .* missing"):
        build_heatmap("heatmap_mini", tmp_path / "w.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(UserError, match="is refused: it is a pickle that would run"):
        build_heatmap("heatmap_vgg16", tmp_path / "module.pth")
