"""GroupViT: the release's files load by their names, and the maps are those of a plain forward."""

import pytest
import torch
from transformers import GroupViTConfig, GroupViTModel

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.build import SHIPPED
from boxrefine_d2.segmentation.group_model import Groups
from boxrefine_d2.segmentation.group_weights import (
    build_groupvit,
    config_of,
    random_groupvit,
    renamed,
)
from tests.segmentation.released_groupvit import forward, released

WIDTH = 128


def small(depths=(2, 1, 1), tokens=(12, 4, 0), outputs=(12, 4, 4)):
    return GroupViTConfig(
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 256,
            "depths": list(depths),
            "num_hidden_layers": sum(depths),
            "num_group_tokens": list(tokens),
            "num_output_groups": list(outputs),
            "num_attention_heads": 2,
            "image_size": 64,
        },
        text_config={
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "vocab_size": 1024,
            "max_position_embeddings": 32,
        },
        projection_dim=24,
        projection_intermediate_dim=40,
    )


def filled(config, seed=0):
    """Return a model whose parameters and running means are random."""
    model = GroupViTModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: torch.rand(value.shape, generator=generator) * 0.2 + 0.01
        if value.is_floating_point()
        else value
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="module")
def model():
    return filled(small())


@pytest.fixture
def checkpoint(tmp_path, model):
    """A checkpoint as the public repository writes it, and a tokenizer beside it."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((SHIPPED / "clip_mini" / name).read_bytes())
    path = tmp_path / "groupvit.pth"
    torch.save({"model": released(model.state_dict()), "epoch": 29}, path)
    return path


def test_every_parameter_of_a_release_arrives(checkpoint, model):
    network = build_groupvit("groupvit_gcc_yfcc", checkpoint)
    found, expected = network.model.state_dict(), model.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert network.weights_info.source == "groupvit.pth" and not network.training


def test_the_maps_are_those_of_a_plain_forward(checkpoint, model):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    network = build_groupvit("groupvit_gcc_yfcc", checkpoint).double()
    state = {name: value.double() for name, value in released(model.state_dict()).items()}
    with torch.no_grad():
        groups = network(images)
        maps, tokens, pooled = forward(state, images, heads=2)
        project = network.model.visual_projection
        segments = project(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        whole = project(pooled)
    assert groups.grid == (4, 4) and [x.shape[1:] for x in maps] == [(12, 16), (4, 12)]
    for found, expected in zip(groups.soft, maps, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    for found, expected in ((groups.segments, segments), (groups.pooled, whole)):
        unit = expected / expected.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(found, unit, atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.attention, maps[1] @ maps[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.attention.sum(dim=1), torch.ones(2, 16).double())


def test_shares_of_the_example():
    """Golden 10.1."""
    first = torch.tensor([[0.8, 0.1, 0.1, 0.25], [0.1, 0.8, 0.1, 0.25], [0.1, 0.1, 0.8, 0.5]])
    second = torch.tensor([[0.9, 0.2, 0.5], [0.1, 0.8, 0.5]])
    groups = Groups((first[None], second[None]), torch.empty(1, 2, 1), torch.empty(1, 1), (2, 2))
    expected = torch.tensor([[0.79, 0.30, 0.51, 0.525], [0.21, 0.70, 0.49, 0.475]])
    torch.testing.assert_close(groups.attention[0], expected)


@pytest.mark.parametrize("size", [(96, 64), (128, 128)])
def test_other_sizes_resize_the_table_of_positions(size):
    network = random_groupvit(small(), 0)
    groups = network(torch.rand(1, 3, *size))
    assert groups.grid == (size[0] // 16, size[1] // 16)
    assert groups.attention.shape == (1, 4, size[0] * size[1] // 256)


@pytest.mark.parametrize(
    ("depths", "tokens", "outputs"),
    [
        ((2, 2), (12, 0), (12, 12)),
        ((2, 1, 1, 1), (12, 4, 4, 0), (12, 4, 4, 4)),
        ((2, 1, 1, 1), (12, 4, 2, 0), (12, 4, 2, 2)),
    ],
)
def test_variants_of_the_stages_are_read_off_the_tensors(tmp_path, depths, tokens, outputs):
    model = GroupViTModel(small(depths, tokens, outputs))
    found = config_of(renamed(released(model.state_dict())), tmp_path).vision_config
    assert tuple(found.depths) == depths
    assert tuple(found.num_group_tokens) == tokens
    assert tuple(found.num_output_groups) == outputs


def test_the_size_of_the_release():
    with torch.device("meta"):
        model = GroupViTModel(GroupViTConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 55_726_609


def test_files_of_other_networks_are_a_line(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(UserError, match="is no checkpoint of GroupViT"):
        build_groupvit("groupvit_gcc_yfcc", path)
    with pytest.raises(UserError, match="GroupViT 'groupvit' is unknown"):
        build_groupvit("groupvit", path)


def test_texts_have_vectors_of_length_1(checkpoint):
    network = build_groupvit("groupvit_gcc_yfcc", checkpoint)
    vectors = network.encode_text(["a photo of a cat.", "a dog"])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    alone = network.encode_text(["a dog"])
    torch.testing.assert_close(vectors[1:], alone)  # padding changes nothing
    with pytest.raises(UserError, match="at most 32 are allowed"):
        network.encode_text(["xq" * 99], cut=False)
