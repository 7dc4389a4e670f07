"""Weights of GroupViT: files of the public repository, and folders of `transformers`.

A file is read without running code. Its tensors get the names of `transformers`; the form of the
network follows from their shapes.
"""

import re
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import CLIPTokenizer, GroupViTConfig, GroupViTModel

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.language.byte_tokenizer import byte_tokenizer
from boxrefine_d2.language.loading import read_pretrained
from boxrefine_d2.networks.build_network import StateDict
from boxrefine_d2.networks.weights import (
    WeightsInfo,
    build_seeded,
    file_sha256,
    load_into,
    module_sha256,
    parse_random,
    read_state_dict,
)

from .group_model import GroupViT

OFFICIAL = {
    "groupvit_gcc_yfcc": "nvidia/groupvit-gcc-yfcc",
    "groupvit_gcc_redcaps": "nvidia/groupvit-gcc-redcaps",
}
_LEFT_OUT = ("multi_label_logit_scale",)  # a training's second temperature
# Names of the release -> names of `transformers`, in this order.
_RENAMED = (
    (r"^img_encoder\.pos_embed$", "vision_model.embeddings.position_embeddings"),
    (r"^img_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embeddings.projection."),
    (r"^img_encoder\.patch_embed\.norm\.", "vision_model.embeddings.layernorm."),
    (r"^img_encoder\.norm\.", "vision_model.layernorm."),
    (r"^img_encoder\.layers\.(\d+)\.blocks\.(\d+)\.", r"vision_model.encoder.stages.\1.layers.\2."),
    (r"^img_encoder\.layers\.(\d+)\.", r"vision_model.encoder.stages.\1."),
    (r"(stages\.\d+\.layers\.\d+)\.norm", r"\1.layer_norm"),
    (r"(stages\.\d+\.layers\.\d+)\.attn\.proj\.", r"\1.self_attn.out_proj."),
    (r"(stages\.\d+\.layers\.\d+)\.attn\.", r"\1.self_attn."),
    (r"pre_assign_attn\.attn\.proj\.", "pre_assign_attn.attn.out_proj."),
    (r"^text_encoder\.token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^text_encoder\.positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^text_encoder\.ln_final\.", "text_model.final_layer_norm."),
    (r"^text_encoder\.transformer\.resblocks\.(\d+)\.", r"text_model.encoder.layers.\1."),
    (r"(text_model\.encoder\.layers\.\d+)\.ln_", r"\1.layer_norm"),
    (r"(text_model\.encoder\.layers\.\d+)\.attn\.in_proj_", r"\1.self_attn.qkv."),
    (r"(text_model\.encoder\.layers\.\d+)\.attn\.", r"\1.self_attn."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"^img_projector\.linear_hidden\.", "visual_projection."),
    (r"^img_projector\.linear_out\.", "visual_projection.3."),
    (r"^text_projector\.linear_hidden\.", "text_projection."),
    (r"^text_projector\.linear_out\.", "text_projection.3."),
)


def build_groupvit(name: str, weights: str | Path | None = None) -> GroupViT:
    """Return a GroupViT in eval mode, float32, on the CPU.

    Args:
        name: key of `OFFICIAL`.
        weights: a checkpoint of the public repository, a folder as `transformers` writes it, or
            "random" or "random:SEED"; None (or "") for the official weights from the library's
            cache or its host. A checkpoint uses the tokenizer of the folder that it lies in, or
            that of the official weights.
    Raises: UserError for an unknown name, a file that is missing or of another network, or weights
        that cannot be fetched.
    """
    check_choice("GroupViT", name, OFFICIAL)
    text = str(weights or "")
    seed = parse_random(text)
    if seed is not None:
        return random_groupvit(GroupViTConfig(), seed)
    if text and Path(text).is_file():
        return _of_release(Path(text), name)
    place = text or OFFICIAL[name]
    model, tokenizer = read_pretrained(GroupViTModel, CLIPTokenizer, place, name=name)
    network = GroupViT(model, tokenizer)
    network.weights_info = WeightsInfo(Path(place).name, module_sha256(model))
    return network.eval()


def random_groupvit(config: GroupViTConfig, seed: int) -> GroupViT:
    """Return a GroupViT with random weights and a tokenizer of single bytes, in eval mode."""
    tokenizer = byte_tokenizer()
    text: Any = config.text_config  # its type allows a dictionary
    text.vocab_size = max(text.vocab_size, len(tokenizer))
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    network = GroupViT(build_seeded(lambda: GroupViTModel(config), seed), tokenizer)
    network.weights_info = WeightsInfo(f"random:{seed}", module_sha256(network.model))
    return network.eval()


def _of_release(path: Path, name: str) -> GroupViT:
    state = renamed(read_state_dict(path))
    config = config_of(state, path)
    model = GroupViTModel(config)
    load_into(model, state, name="GroupViT", path=path)
    tokenizer = _tokenizer(path.parent, name)
    text: Any = config.text_config
    if len(tokenizer) > text.vocab_size:
        raise UserError(
            f"{path} knows {text.vocab_size} tokens, and the tokenizer has {len(tokenizer)}; put "
            "the tokenizer of this network beside the file"
        )
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    model.text_model.eos_token_id = tokenizer.eos_token_id
    network = GroupViT(model, tokenizer)
    network.weights_info = WeightsInfo(path.name, file_sha256(path))
    return network.eval()


def _tokenizer(folder: Path, name: str) -> CLIPTokenizer:
    beside = (folder / "tokenizer.json").exists() or (folder / "vocab.json").exists()
    place = str(folder) if beside else OFFICIAL[name]
    try:
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(place, local_files_only=beside)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer of {name} cannot be read from {place}; put tokenizer.json, or CLIP's "
            "vocab.json and merges.txt, beside the checkpoint"
        ) from error
    return tokenizer


def renamed(state: StateDict) -> StateDict:
    """Return the tensors of a release's checkpoint under the names of `transformers`.

    Fused projections are split, and 1 x 1 convolutions become matrices.
    """
    result: StateDict = {}
    for old, value in state.items():
        if old in _LEFT_OUT or old.endswith("position_ids"):
            continue
        new = old
        for pattern, replacement in _RENAMED:
            new = re.sub(pattern, replacement, new)
        if new.startswith(("visual_projection", "text_projection")) and value.dim() > 2:
            value = value.flatten(1)
        if ".qkv." in new:
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                result[new.replace("qkv.", f"{part}_proj.")] = rows
        else:
            result[new] = value
    return result


def config_of(state: StateDict, path: Path) -> GroupViTConfig:
    """Return the form of a network, read off its tensors.

    Raises: UserError for tensors of another network.
    """
    try:
        stages = _count(state, r"vision_model\.encoder\.stages\.(\d+)\.")
        prefix = "vision_model.encoder.stages"
        layers = re.escape(prefix) + r"\.%d\.layers\.(\d+)\."
        depths = [_count(state, layers % i) for i in range(stages)]
        tokens = [_tokens(state, f"{prefix}.{i}.group_token") for i in range(stages)]
        outputs: list[int] = []
        for i in range(stages):
            mixer = state.get(f"{prefix}.{i}.downsample.mlp_inter.fc2.weight")
            outputs.append(outputs[-1] if mixer is None else len(mixer))
        table = state["vision_model.embeddings.position_embeddings"]
        patch = state["vision_model.embeddings.patch_embeddings.projection.weight"]
        words = state["text_model.embeddings.token_embedding.weight"]
        grid = round(table.shape[1] ** 0.5)
        hidden, text = patch.shape[0], words.shape[1]
        return GroupViTConfig(
            vision_config={
                "hidden_size": hidden,
                "intermediate_size": _rows(state, f"{prefix}.0.layers.0.mlp.fc1.weight"),
                "depths": depths,
                "num_hidden_layers": sum(depths),
                "num_group_tokens": tokens,
                "num_output_groups": outputs,
                "num_attention_heads": hidden // 64,
                "image_size": grid * patch.shape[-1],
                "patch_size": patch.shape[-1],
            },
            text_config={
                "hidden_size": text,
                "intermediate_size": _rows(state, "text_model.encoder.layers.0.mlp.fc1.weight"),
                "num_hidden_layers": _count(state, r"text_model\.encoder\.layers\.(\d+)\."),
                "num_attention_heads": text // 64,
                "vocab_size": len(words),
                "max_position_embeddings": _rows(
                    state, "text_model.embeddings.position_embedding.weight"
                ),
            },
            projection_dim=_rows(state, "visual_projection.3.weight"),
            projection_intermediate_dim=_rows(state, "visual_projection.0.weight"),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"{path} is no checkpoint of GroupViT ({error}); give a file of its public repository, "
            "or a folder of transformers"
        ) from error


def _count(state: StateDict, pattern: str) -> int:
    """Return one more than the largest number in names. Raises: ValueError without a match."""
    return 1 + max(int(found[1]) for name in state if (found := re.match(pattern, name)))


def _tokens(state: StateDict, name: str) -> int:
    value: Tensor | None = state.get(name)
    return 0 if value is None else value.shape[1]


def _rows(state: StateDict, name: str) -> int:
    return len(state[name])
