"""Findings about the machine: CPU, memory, GPU."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from .finding import BROKEN, MISSING, OK, Finding

_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86 and, the last one, Arm
GIB = 2**30


def cpu_findings() -> list[Finding]:
    """Return findings about the CPU, its cores, the memory, and whether bfloat16 is fast."""
    cores = usable_cores()
    value = f"{cpu_name()}, {cores} of {os.cpu_count()} cores usable"
    findings = [Finding("devices", "CPU", OK, value, more={"cores": cores})]
    total = total_memory()
    if total:
        findings.append(
            Finding("devices", "memory", OK, f"{total / GIB:.0f} GiB", more={"bytes": total})
        )
    instructions = bf16_instructions()
    if instructions:
        findings.append(Finding("devices", "bf16 on the CPU", OK, ", ".join(instructions)))
    else:
        value = "no instructions for it: --precision bf16 is slower than fp32 here"
        findings.append(Finding("devices", "bf16 on the CPU", MISSING, value))
    return findings


def cuda_findings(fix: str) -> list[Finding]:
    """Return one finding for each GPU, or one with the reason for no GPU. Imports torch.

    Args: fix: the command that installs torch again.
    """
    import torch

    driver = _nvidia_driver()
    built_for = torch.version.cuda
    if not torch.cuda.is_available():
        if not driver:
            value = "no NVIDIA driver found: everything runs on the CPU, as --device cpu"
            return [Finding("devices", "CUDA", MISSING, value)]
        if built_for is None:
            value = f"torch {torch.__version__} is built without CUDA; driver {driver} is installed"
            return [Finding("devices", "CUDA", BROKEN, value, fix)]
        value = f"torch is built for CUDA {built_for}, which driver {driver} does not support"
        return [Finding("devices", "CUDA", BROKEN, value, "install a newer NVIDIA driver")]
    return [
        _gpu_finding(index, driver, built_for, fix) for index in range(torch.cuda.device_count())
    ]


def _gpu_finding(index: int, driver: str, built_for: str | None, fix: str) -> Finding:
    """Return the finding about a GPU, after an addition on it."""
    import torch

    device = torch.device("cuda", index)
    properties = torch.cuda.get_device_properties(device)
    memory = properties.total_memory
    driver_text = f"driver {driver}, " if driver else ""
    value = f"{properties.name}, {memory / GIB:.0f} GiB, {driver_text}CUDA {built_for}"
    try:
        (torch.ones(1, device=device) + 1).item()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        return Finding("devices", f"CUDA {index}", BROKEN, f"{value}: {reason}", fix)
    return Finding("devices", f"CUDA {index}", OK, value, more={"bytes": memory})


def bf16_instructions() -> list[str]:
    """Return the CPU's instructions for bfloat16 products; without any bf16 is slower than fp32."""
    flags = (_cpu_info("flags") or _cpu_info("Features") or "").split()
    return [flag for flag in _BF16_FLAGS if flag in flags]


def cpu_name() -> str:
    """Return the name that the system gives to the CPU."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def total_memory() -> int:
    """Return the memory in bytes; 0 if the system does not tell."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not hasattr(os, "sysconf") or not all(name in os.sysconf_names for name in names):
        return 0
    pages, size = map(os.sysconf, names)
    return pages * size


def _cpu_info(name: str) -> str | None:
    """Return the value of the first line `name : value` in Linux's description of the CPU."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)


def _nvidia_driver() -> str:
    """Return the version of the NVIDIA driver; "" without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = answer.stdout.split()
    return lines[0] if answer.returncode == 0 and lines else ""
