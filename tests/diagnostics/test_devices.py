import os

import pytest
import torch

from boxrefine_d2.diagnostics import BROKEN, MISSING, OK, devices
from boxrefine_d2.diagnostics.devices import bf16_instructions, cpu_findings, cuda_findings

FIX = "pip install torch"


class FakeGpu:
    name, total_memory = "Fake GPU", 80 * 2**30


@pytest.fixture
def machine(monkeypatch):
    def with_gpu(*, available, driver, built_for):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if available else 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: FakeGpu)
        monkeypatch.setattr(torch.version, "cuda", built_for)
        monkeypatch.setattr(devices, "_nvidia_driver", lambda: driver)
        return cuda_findings(FIX)

    return with_gpu


def test_cpu_and_memory_are_those_of_the_system():
    findings = {finding.name: finding for finding in cpu_findings()}
    if hasattr(os, "sched_getaffinity"):
        assert findings["CPU"].more["cores"] == len(os.sched_getaffinity(0))
    assert findings["memory"].more["bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf(
        "SC_PAGE_SIZE"
    )
    assert all(not finding.required for finding in findings.values())


@pytest.mark.parametrize(
    ("flags", "instructions"),
    [
        ("flags : fpu avx2 amx_bf16 avx512_bf16", ["avx512_bf16", "amx_bf16"]),
        ("Features : fp asimd bf16", ["bf16"]),
        ("flags : fpu avx2", []),
        ("", []),
    ],
)
def test_bf16_instructions_are_read_from_the_description_of_the_cpu(
    monkeypatch, flags, instructions
):
    text = f"processor : 0\nmodel name : Some CPU : rev 2\n{flags}\n"
    monkeypatch.setattr(devices.Path, "exists", lambda self: True)
    monkeypatch.setattr(devices.Path, "read_text", lambda self, encoding: text)
    assert bf16_instructions() == instructions
    findings = {finding.name: finding for finding in cpu_findings()}
    assert findings["bf16 on the CPU"].state == (OK if instructions else MISSING)
    assert findings["CPU"].value.startswith("Some CPU : rev 2, ")


def test_without_a_driver_cuda_is_missing(machine):
    (finding,) = machine(available=False, driver="", built_for="13.0")
    assert (finding.state, finding.fix) == (MISSING, "")


def test_a_torch_without_cuda_on_a_machine_with_a_driver_is_broken(machine):
    (finding,) = machine(available=False, driver="570.1", built_for=None)
    assert (finding.state, finding.fix) == (BROKEN, FIX)


def test_a_driver_that_is_too_old_is_broken(machine):
    (finding,) = machine(available=False, driver="470.2", built_for="13.0")
    assert finding.state == BROKEN
    assert "CUDA 13.0" in finding.value and "470.2" in finding.value and "driver" in finding.fix


def test_every_gpu_computes_or_is_broken(machine, monkeypatch):
    monkeypatch.setattr(torch, "ones", lambda *args, device: torch.zeros(1))
    findings = machine(available=True, driver="570.1", built_for="13.0")
    assert [finding.name for finding in findings] == ["CUDA 0", "CUDA 1"]
    assert findings[0].state == OK
    assert findings[0].value == "Fake GPU, 80 GiB, driver 570.1, CUDA 13.0"

    def fail(*args, device):
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(torch, "ones", fail)
    finding, _ = machine(available=True, driver="570.1", built_for="13.0")
    assert finding.state == BROKEN
    assert finding.value.endswith(": no kernel image is available")
