"""What the benchmarks run on, and how fast it multiplies matrices."""

import os
import platform
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from timing import timed

_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86 and, the last one, Arm
_MATRIX_SIDE = 2048
_SECONDS = 1.5


def describe() -> dict[str, Any]:
    """The machine as it is written to the record."""
    return {
        "cpu": _cpu_info("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),  # processes wanting a core as this one starts
        "instructions": " ".join([torch.backends.cpu.get_cpu_capability(), *bf16_instructions()]),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def bf16_instructions() -> list[str]:
    """The instructions for bfloat16 products that this CPU has; without any, bf16 is slower than fp32."""
    flags = (_cpu_info("flags") or _cpu_info("Features") or "").split()
    return [flag for flag in _BF16_FLAGS if flag in flags]


def matmul_gflops(dtype: torch.dtype) -> float:
    """GFLOP/s of one large square product, the best of some: the limit for a network of products."""
    left, right = torch.randn(2, _MATRIX_SIDE, _MATRIX_SIDE).to(dtype)
    times, start = [], perf_counter()
    while perf_counter() - start < _SECONDS or len(times) < 3:
        times.append(timed(lambda: left @ right)[1])
    return 2 * _MATRIX_SIDE**3 / 1e6 / min(times)


def _cpu_info(name: str) -> str | None:
    """The first line `name : value` of Linux's description of the CPU."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)
