"""Official networks of the presets, written from their description.

The module has the names and shapes of their files, and their forward pass in float64, step by step,
with an explicit attention matrix.
"""

import math

import torch
import torch.nn.functional as F

from .test_vit import interpolation_matrix

# dim, depth, heads
SIZES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16)}


def block_shapes(dim: int, depth: int) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for i in range(depth):
        layers = {"norm1": (), "norm2": (), "attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim)}
        layers |= {"mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
        for layer, shape in layers.items():
            shapes[f"blocks.{i}.{layer}.weight"] = shape or (dim,)
            shapes[f"blocks.{i}.{layer}.bias"] = (shape[0] if shape else dim,)
    return shapes


def encoder_shapes(dim: int, depth: int, patch: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes that all networks share: blocks, patches, CLS, the final norm."""
    rest = {
        "cls_token": (1, 1, dim),
        "patch_embed.proj.weight": (dim, 3, patch, patch),
        "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,),
        "norm.bias": (dim,),
    }
    return rest | block_shapes(dim, depth)


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors in the official file, without the wrapper."""
    family, _, rest = name.partition("_vit")
    dim, depth, heads = SIZES[rest[0]]
    scales = {f"blocks.{i}.ls{j}.gamma": (dim,) for i in range(depth) for j in (1, 2)}
    if family == "dinov2":
        shapes = encoder_shapes(dim, depth, 14) | scales
        shapes |= {"pos_embed": (1, 1 + 37 * 37, dim), "mask_token": (1, dim)}
        return shapes | ({"register_tokens": (1, 4, dim)} if name.endswith("_reg") else {})
    if family == "dinov3":
        masks = {f"blocks.{i}.attn.qkv.bias_mask": (3 * dim,) for i in range(depth)}
        tokens = {"storage_tokens": (1, 4, dim), "mask_token": (1, dim)}
        periods = {"rope_embed.periods": (dim // heads // 4,)}
        return encoder_shapes(dim, depth, 16) | scales | masks | tokens | periods
    shapes = encoder_shapes(dim, depth, 16) | {"pos_embed": (1, 1 + 14 * 14, dim)}
    if family == "mae":
        decoder = block_shapes(512, 8)
        shapes |= {f"decoder_{key}": shape for key, shape in decoder.items()}
        return shapes | {"mask_token": (1, 1, 512), "decoder_pos_embed": (1, 197, 512)}
    encoders = {
        f"module.{which}_encoder.{key}": shape
        for which in ("base", "momentum")
        for key, shape in (
            shapes | {"head.0.weight": (4096, dim), "head.1.weight": (4096,)}
        ).items()
    }
    return encoders | {"module.predictor.0.weight": (4096, 256)}


def random_state(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return an official file's tensors with random values.

    Tensors that the architecture fixes have their fixed values.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in official_shapes(name).items():
        value = torch.randn(shape, generator=generator) * (0.05 if len(shape) > 1 else 0.2)
        if "norm" in key and key.endswith("weight"):
            value += 1
        if key.endswith("bias_mask"):
            value = torch.ones(shape)
            value[shape[0] // 3 : 2 * shape[0] // 3] = 0
        if key == "rope_embed.periods":
            exponents = torch.arange(shape[0]) / shape[0]
            value = (100**exponents).bfloat16()  # the files hold rounded periods
        state[key] = value
    return state


def antialiased_matrix(cells: int, side: int) -> torch.Tensor:
    """Return the weights of antialiased bicubic resizing, (cells, side).

    They use Keys' kernel with the coefficient -0.5.
    """

    def kernel(t: float) -> float:
        a, t = -0.5, abs(t)
        if t < 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0

    weights = torch.zeros(cells, side, dtype=torch.float64)
    scale = side / cells
    width = max(scale, 1.0)
    for i in range(cells):
        centre = (i + 0.5) * scale
        for j in range(side):
            weights[i, j] = kernel((j + 0.5 - centre) / width)
    return weights / weights.sum(dim=1, keepdim=True)


def table_positions(table, h, w, *, antialiased):
    """Return the table (1, 1 + g g, C) resized to (1, 1 + h w, C), with the same row of CLS."""
    side = math.isqrt(table.shape[1] - 1)
    matrix = antialiased_matrix if antialiased else interpolation_matrix
    grid = table[0, 1:].reshape(side, side, -1)
    resized = torch.einsum("is,jt,std->ijd", matrix(h, side), matrix(w, side), grid)
    return torch.cat([table[:, :1], resized.reshape(1, h * w, -1)], dim=1)


def rotate(x, periods, h, w):
    """Return DINOv3's rotation of one head's tokens (B, h w, D).

    The two halves of D rotate together. Angles of rows come first, then those of columns.
    """
    rows = 2 * (torch.arange(h, dtype=torch.float64) + 0.5) / h - 1
    columns = 2 * (torch.arange(w, dtype=torch.float64) + 0.5) / w - 1
    turns = torch.cat(
        [
            rows[:, None, None].expand(h, w, 1) / periods,
            columns[None, :, None].expand(h, w, 1) / periods,
        ],
        dim=2,
    ).reshape(h * w, -1)
    cos, sin = torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
    first, second = x.chunk(2, dim=2)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=2)


def official_forward(state, images, *, patch, heads, eps, antialiased=False):
    """Return query, key and value of the last block, the output and the attention of CLS.

    All are restricted to the patches, (B, h w, C) float64.
    """
    s = {name: value.double() for name, value in state.items()}
    dim = s["cls_token"].shape[2]
    depth = 1 + max(int(name.split(".")[1]) for name in s if name.startswith("blocks."))
    h, w = images.shape[2] // patch, images.shape[3] // patch
    cut = images.double().unfold(2, patch, patch).unfold(3, patch, patch)
    patches = cut.permute(0, 2, 3, 1, 4, 5).reshape(len(images), h * w, -1)
    x = patches @ s["patch_embed.proj.weight"].reshape(dim, -1).T + s["patch_embed.proj.bias"]
    x = torch.cat([s["cls_token"].expand(len(images), -1, -1), x], dim=1)
    if "pos_embed" in s:
        x = x + table_positions(s["pos_embed"], h, w, antialiased=antialiased)
    registers = s.get("register_tokens", s.get("storage_tokens", x[:1, :0]))
    x = torch.cat([x[:, :1], registers.expand(len(images), -1, -1), x[:, 1:]], dim=1)
    prefix = 1 + registers.shape[1]

    def norm(tokens, name):
        return F.layer_norm(tokens, (dim,), s[name + ".weight"], s[name + ".bias"], eps)

    for i in range(depth):
        name = f"blocks.{i}."
        bias = s[name + "attn.qkv.bias"] * s.get(name + "attn.qkv.bias_mask", 1)
        qkv = (norm(x, name + "norm1") @ s[name + "attn.qkv.weight"].T + bias).split(dim, dim=2)
        outputs, attention = [], []
        for head in range(heads):
            part = slice(head * dim // heads, (head + 1) * dim // heads)
            q, k, v = (tensor[..., part] for tensor in qkv)
            if "rope_embed.periods" in s:
                q, k = (
                    torch.cat(
                        [t[:, :prefix], rotate(t[:, prefix:], s["rope_embed.periods"], h, w)], 1
                    )
                    for t in (q, k)
                )
            weights = (q @ k.transpose(1, 2) / math.sqrt(dim / heads)).softmax(dim=2)
            outputs.append(weights @ v)
            attention.append(weights[:, 0])
        attended = torch.cat(outputs, dim=2) @ s[name + "attn.proj.weight"].T
        x = x + s.get(name + "ls1.gamma", 1) * (attended + s[name + "attn.proj.bias"])
        hidden = norm(x, name + "norm2") @ s[name + "mlp.fc1.weight"].T + s[name + "mlp.fc1.bias"]
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        out = hidden @ s[name + "mlp.fc2.weight"].T + s[name + "mlp.fc2.bias"]
        x = x + s.get(name + "ls2.gamma", 1) * out
    found = (*qkv, norm(x, "norm"), torch.stack(attention, dim=2))
    return [tensor[:, prefix:] for tensor in found]
