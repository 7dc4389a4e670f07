"""GroupViT's vision side under the names of its public repository: names, and a plain forward pass.

The forward pass follows the paper and reads the release's tensors alone.
"""

import re

import torch
import torch.nn.functional as F

BACK = (
    (r"^vision_model\.embeddings\.position_embeddings$", "img_encoder.pos_embed"),
    (r"^vision_model\.embeddings\.patch_embeddings\.projection\.", "img_encoder.patch_embed.proj."),
    (r"^vision_model\.embeddings\.layernorm\.", "img_encoder.patch_embed.norm."),
    (r"^vision_model\.layernorm\.", "img_encoder.norm."),
    (
        r"^vision_model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.",
        r"img_encoder.layers.\1.blocks.\2.",
    ),
    (r"^vision_model\.encoder\.stages\.", "img_encoder.layers."),
    (r"(blocks\.\d+)\.layer_norm", r"\1.norm"),
    (r"(blocks\.\d+)\.self_attn\.out_proj", r"\1.attn.proj"),
    (r"(blocks\.\d+)\.self_attn\.", r"\1.attn."),
    (r"pre_assign_attn\.attn\.out_proj", "pre_assign_attn.attn.proj"),
    (r"^text_model\.embeddings\.token_embedding", "text_encoder.token_embedding"),
    (r"^text_model\.embeddings\.position_embedding\.weight", "text_encoder.positional_embedding"),
    (r"^text_model\.final_layer_norm", "text_encoder.ln_final"),
    (r"^text_model\.encoder\.layers\.(\d+)\.", r"text_encoder.transformer.resblocks.\1."),
    (r"(resblocks\.\d+)\.layer_norm", r"\1.ln_"),
    (r"(resblocks\.\d+)\.self_attn\.", r"\1.attn."),
    (r"(resblocks\.\d+)\.mlp\.fc1", r"\1.mlp.c_fc"),
    (r"(resblocks\.\d+)\.mlp\.fc2", r"\1.mlp.c_proj"),
    (r"^visual_projection\.3", "img_projector.linear_out"),
    (r"^visual_projection", "img_projector.linear_hidden"),
    (r"^text_projection\.3", "text_projector.linear_out"),
    (r"^text_projection", "text_projector.linear_hidden"),
)


def released(state):
    """Return tensors of transformers under the names of the release."""
    result = {}
    for name, value in state.items():
        for pattern, replacement in BACK:
            name = re.sub(pattern, replacement, name)
        if re.search(r"_projector\.linear_(hidden\.0|out)\.weight", name):
            value = value[..., None]  # a 1 x 1 convolution
        result[name] = value
    for kind in ("weight", "bias"):
        for name in [n for n in result if n.endswith(f".attn.q_proj.{kind}")]:
            if "downsample" in name:
                continue
            parts = [result.pop(name.replace("q_proj", f"{x}_proj")) for x in "qkv"]
            fused = "in_proj_" if "resblocks" in name else "qkv."
            result[name.replace(f"q_proj.{kind}", f"{fused}{kind}")] = torch.cat(parts)
    result["multi_label_logit_scale"] = torch.tensor(2.0)
    return result


def forward(state, images, heads):
    """Return the soft maps, the last tokens and the pooled vector of the release, in eval mode."""
    get = {k.removeprefix("img_encoder."): v for k, v in state.items()}

    def linear(x, name):
        return F.linear(x, get[f"{name}.weight"], get[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], get[f"{name}.weight"], get[f"{name}.bias"])

    def mlp(x, name):
        return linear(F.gelu(linear(x, f"{name}.fc1")), f"{name}.fc2")

    def attend(q, k, v):
        split = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v)]
        return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)

    x = F.conv2d(images, get["patch_embed.proj.weight"], get["patch_embed.proj.bias"], stride=16)
    x = norm(x.flatten(2).transpose(1, 2), "patch_embed.norm") + get["pos_embed"]
    maps, tokens = [], None
    for stage in range(3):
        own = get.get(f"layers.{stage}.group_token")
        if own is not None:
            group = own.expand(len(x), -1, -1)
            if tokens is not None:
                normed = norm(tokens, f"layers.{stage}.group_projector.0")
                mixed = mlp(normed.transpose(1, 2), f"layers.{stage}.group_projector.1")
                group = group + mixed.transpose(1, 2)
            x = torch.cat([x, group], dim=1)
        block = 0
        while f"layers.{stage}.blocks.{block}.norm1.weight" in get:
            name = f"layers.{stage}.blocks.{block}"
            q, k, v = linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv").chunk(3, dim=-1)
            x = x + linear(attend(q, k, v), f"{name}.attn.proj")
            x = x + mlp(norm(x, f"{name}.norm2"), f"{name}.mlp")
            block += 1
        if own is None:
            continue
        x, tokens = x[:, : -own.shape[1]], x[:, -own.shape[1] :]
        name = f"layers.{stage}.downsample"
        seen, group = norm(x, f"{name}.norm_x"), norm(tokens, f"{name}.norm_tokens")
        group = mlp(group.transpose(1, 2), f"{name}.mlp_inter").transpose(1, 2)
        group = norm(group, f"{name}.norm_post_tokens")
        cross = f"{name}.pre_assign_attn"
        q = linear(group, f"{cross}.attn.q_proj")
        k, v = (linear(seen, f"{cross}.attn.{each}_proj") for each in "kv")
        group = group + linear(attend(q, k, v), f"{cross}.attn.proj")
        group = norm(
            group + mlp(norm(group, f"{cross}.norm2"), f"{cross}.mlp"), f"{cross}.norm_post"
        )
        q, k = linear(group, f"{name}.assign.q_proj"), linear(seen, f"{name}.assign.k_proj")
        v = linear(seen, f"{name}.assign.v_proj")
        soft = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5).softmax(dim=1)
        maps.append(soft)
        hard = F.one_hot(soft.argmax(dim=1), soft.shape[1]).transpose(1, 2).to(soft.dtype)
        shares = hard / (hard.sum(dim=2, keepdim=True) + 1)
        x = linear(shares @ v, f"{name}.assign.proj") + group
        x = x + mlp(norm(x, f"{name}.norm_new_x"), f"{name}.mlp_channels")
    x = norm(x, "norm")
    return maps, x, x.mean(dim=1)
