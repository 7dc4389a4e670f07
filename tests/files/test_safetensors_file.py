"""Safetensors files of equal content have equal bytes."""

import subprocess
import sys

import safetensors
import torch

from boxrefine_d2.files.safetensors_file import safetensors_bytes

TENSORS = {"b": torch.arange(3), "a": torch.ones(2, 5, dtype=torch.float16)}
METADATA = {name: name * 3 for name in ("seed", "backbone", "version", "iterations", "ö")}


def test_the_file_holds_tensors_and_metadata(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(TENSORS, METADATA))
    with safetensors.safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == METADATA
        assert set(file.keys()) == set(TENSORS)
        assert all(file.get_tensor(name).equal(value) for name, value in TENSORS.items())


def test_other_processes_and_other_orders_write_the_same_bytes():
    script = """
import hashlib, torch
from boxrefine_d2.files.safetensors_file import safetensors_bytes
tensors = {"a": torch.ones(2, 5, dtype=torch.float16), "b": torch.arange(3)}
metadata = {name: name for name in "edcba"}
print(hashlib.sha256(safetensors_bytes(tensors, metadata)).hexdigest())
"""
    command = [sys.executable, "-c", script]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    assert len({run.stdout for run in runs}) == 1
    some = {name: name for name in "abcde"}
    backwards = dict(reversed(some.items()))
    assert safetensors_bytes(TENSORS, some) == safetensors_bytes(TENSORS, backwards)
