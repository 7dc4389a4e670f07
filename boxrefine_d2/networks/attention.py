"""Attention in bfloat16 on CPUs without AMX.

PyTorch's fused attention kernel is made for AMX. On a CPU without AMX it is as slow in bfloat16 as
in float32. Plain matrix products of a few hundred rows at a time are then twice as fast.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROWS = 256  # queries at a time; the scores of one head then stay in the CPU cache


def attention_by_rows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the result of `F.scaled_dot_product_attention`, (..., T, C), for inputs of that shape.

    Every step is computed in the precision of the inputs.
    """
    scaled = query * query.shape[-1] ** -0.5
    key, value = key.transpose(-2, -1).contiguous(), value.contiguous()
    parts = [(rows @ key).softmax(dim=-1) @ value for rows in scaled.split(ROWS, dim=-2)]
    return torch.cat(parts, dim=-2)


def fused_gains(query: Tensor) -> bool:
    """Return False if the fused kernel is slower for a query: in bfloat16 on a CPU without AMX.

    If gradients are needed, the fused kernel is always better, because it stores no scores.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return True
    learns = torch.is_grad_enabled() and query.requires_grad
    return learns or bool(torch.cpu.get_capabilities().get("amx_bf16"))


class FasterAttention(TorchFunctionMode):
    """Context in which every attention without a mask, in any layer, takes the faster way."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace an attention by `attention_by_rows`; torch calls this for each of its functions.

        timm passes more arguments than query, key and value. They are None, False or 0 if nothing
        is masked or dropped.
        """
        given = kwargs or {}
        if func is F.scaled_dot_product_attention:
            plain = len(args) == 3 and not any(isinstance(x, Tensor) or x for x in given.values())
            if plain and not fused_gains(args[0]):
                return attention_by_rows(*args)
        return func(*args, **given)
