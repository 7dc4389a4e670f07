"""Device and precision by the names that users give."""

import re

import torch

from boxrefine_d2.errors import UserError, check_choice

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def default_device() -> str:
    """Return "cuda" if PyTorch sees a GPU; otherwise "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(name: str) -> None:
    """Refuse a device that cannot be used. Raises: UserError with the reason."""
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d{1,3})?", name, re.ASCII):
        raise UserError(
            f"device {name[:50]!r} cannot be used: it is unknown; known: cpu, cuda, cuda:N, mps, "
            "xpu"
        )
    try:
        torch.zeros(1, device=name).add_(1)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if "aten::" in reason:  # PyTorch's message for a kind of device that it was built without
            reason = "this PyTorch does not support it"
        raise UserError(f"device {name!r} cannot be used: {reason}; cpu always works") from error


def precision_of(name: str) -> torch.dtype:
    """Return the number format of a name in `PRECISIONS`. Raises: UserError for another name."""
    check_choice("precision", name, PRECISIONS)
    return PRECISIONS[name]
