"""The machine of the benchmarks, and its speed of matrix products."""

import os
import platform
from time import perf_counter
from typing import Any

import torch
from timing import timed

from boxrefine_d2.diagnostics.devices import bf16_instructions, cpu_name, usable_cores

_MATRIX_SIDE = 2048
_SECONDS = 1.5


def describe() -> dict[str, Any]:
    """Return the description of the machine that is written to the record."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),  # processes that wanted a core, mean of 1 minute
        "instructions": " ".join([torch.backends.cpu.get_cpu_capability(), *bf16_instructions()]),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def matmul_gflops(dtype: torch.dtype) -> float:
    """Return the GFLOP/s of one large square product, the best of several runs.

    This speed is the limit for a network that consists of products.
    """
    left, right = torch.randn(2, _MATRIX_SIDE, _MATRIX_SIDE).to(dtype)
    times, start = [], perf_counter()
    while perf_counter() - start < _SECONDS or len(times) < 3:
        times.append(timed(lambda: left @ right)[1])
    return 2 * _MATRIX_SIDE**3 / 1e6 / min(times)
