"""The device and the precision that a user names."""

import re

import torch

from boxrefine_d2.errors import UserError, check_choice

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def default_device() -> str:
    """The GPU if there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(name: str) -> None:
    """Raises: UserError, saying why, for a device that cannot be used."""
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d{1,3})?", name, re.ASCII):
        raise UserError(
            f"device {name[:50]!r} cannot be used: it is unknown; known: cpu, cuda, cuda:N, mps, xpu"
        )
    try:
        torch.zeros(1, device=name).add_(1)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if "aten::" in reason:  # PyTorch's words for a kind of device that it was built without
            reason = "PyTorch has none here"
        raise UserError(f"device {name!r} cannot be used: {reason}; cpu always works") from error


def precision_of(name: str) -> torch.dtype:
    """One of `PRECISIONS`. Raises: UserError for another name."""
    check_choice("precision", name, PRECISIONS)
    return PRECISIONS[name]
