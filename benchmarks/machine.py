"""What the benchmarks run on, and how fast it multiplies matrices."""

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
    """The machine as it is written to the record."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),  # processes wanting a core as this one starts
        "instructions": " ".join([torch.backends.cpu.get_cpu_capability(), *bf16_instructions()]),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def matmul_gflops(dtype: torch.dtype) -> float:
    """GFLOP/s of one large square product, the best of some: the limit for a network of products."""
    left, right = torch.randn(2, _MATRIX_SIDE, _MATRIX_SIDE).to(dtype)
    times, start = [], perf_counter()
    while perf_counter() - start < _SECONDS or len(times) < 3:
        times.append(timed(lambda: left @ right)[1])
    return 2 * _MATRIX_SIDE**3 / 1e6 / min(times)
