"""Bytes of safetensors files, the same for the same content."""

import json
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

_LENGTH = 8  # bytes that state the length of the header; it is padded to a multiple of them


def in_half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in half precision; whole numbers, such as counters, stay as they are."""
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file with its metadata in the order of their names.

    The library writes metadata in an order that changes from process to process.

    Args: tensors: contiguous tensors on the CPU.
    """
    content = safetensors.torch.save(dict(tensors), dict(metadata))
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text + content[_LENGTH + length :]
