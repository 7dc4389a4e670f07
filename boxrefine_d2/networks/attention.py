"""Attention in bfloat16 on CPUs whose fused kernel gains nothing by it.

torch's fused attention is made for AMX; without it, it is as slow in bfloat16 as in float32, and plain products of a few
hundred rows at a time are twice as fast.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROWS = 256  # queries at a time: the scores of a head's stay in the cache


def attention_by_rows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What `F.scaled_dot_product_attention` gives, (..., T, C) of three such, in the precision of the inputs throughout."""
    scaled = query * query.shape[-1] ** -0.5
    key, value = key.transpose(-2, -1).contiguous(), value.contiguous()
    parts = [(rows @ key).softmax(dim=-1) @ value for rows in scaled.split(ROWS, dim=-2)]
    return torch.cat(parts, dim=-2)


def fused_gains(query: Tensor) -> bool:
    """Whether the fused kernel is the faster one for a query: not for bfloat16 on a CPU without AMX.

    Where gradients are needed it is always better, since it keeps no scores.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return True
    learns = torch.is_grad_enabled() and query.requires_grad
    return learns or bool(torch.cpu.get_capabilities().get("amx_bf16"))


class FasterAttention(TorchFunctionMode):
    """While it is on, every attention without a mask is done the faster way, whoever's layers ask for it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Called by torch in place of each of its functions."""
        given = kwargs or {}
        if func is F.scaled_dot_product_attention:
            # what timm passes beside the three when there is nothing to mask or drop is empty, false or 0
            plain = len(args) == 3 and not any(isinstance(x, Tensor) or x for x in given.values())
            if plain and not fused_gains(args[0]):
                return attention_by_rows(*args)
        return func(*args, **given)
