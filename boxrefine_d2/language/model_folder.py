"""A network in a folder as `transformers` writes it: looked at file by file before the library makes anything of it.

config.json may announce a network of any size, and the library takes memory for what a file lacks. So the network is laid
out without memory first, and only one that its weights fill is made.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.hub import CHAT_TEMPLATE_DIR

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, read_json
from boxrefine_d2.networks.checkpoint_file import read_checkpoint
from boxrefine_d2.networks.weights import check_numbers, named_tensors

CONFIG = "config.json"
# a folder holds one of these; large networks list the files that they are divided into
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEXES = tuple(f"{name}.index.json" for name in _WEIGHTS)
_MAX_NUMBER = 1_000_000  # in a configuration: vocabularies have some 250 000 words
_MAX_LAYERS = 1000
_WORDS = (".json", ".txt", ".jinja", ".model")  # of files that a tokenizer reads
_MAX_WORDS_BYTES = 2**27
# they ask the library for other code than the network's own
_DROPPED = {"auto_map", "quantization_config", "attn_implementation", "_attn_implementation"}


def check_files(folder: Path) -> None:
    """Refuse a folder of which a tokenizer would read a pipe, a device or words of a size that none have.

    What it does not read may be anything: other files and folders, and links that lead nowhere.

    Raises: UserError.
    """
    for path in (*folder.iterdir(), *(folder / CHAT_TEMPLATE_DIR).glob("*")):
        if path.suffix in _WORDS and path.exists() and not path.is_dir():
            check_regular_file(path, "file of a network", _MAX_WORDS_BYTES)


def read_model(network: type[PreTrainedModel], folder: Path, *, what: str) -> PreTrainedModel:
    """Return the network, float32, on the CPU.

    Args:   what: what it is to be, for messages.
    Raises: UserError for files that are missing, damaged, of another network, or do not fit one another; and whatever
        the library makes of a configuration that it does not understand.
    """
    state = _read_weights(folder, what)
    raw = read_json(folder / CONFIG, "configuration")
    _check_sizes(raw, len(state), folder)
    kind: Any = network.config_class  # a network has one
    config = kind.from_dict(_plain(raw))
    with torch.device("meta"):
        expected = network(config).state_dict()
    _check_shapes(expected, state, folder, what)
    load: Any = network.from_pretrained  # its type knows nothing of the second value
    model: PreTrainedModel
    model, found = load(
        None, config=config, state_dict=state, dtype="float32", output_loading_info=True
    )
    check_whole([*found["missing_keys"], *found["mismatched_keys"]], folder, what)
    check_numbers(model.state_dict(), folder)
    return model


def _read_weights(folder: Path, what: str) -> dict[str, Tensor]:
    files = [folder / name for name in _WEIGHTS if (folder / name).exists()][:1]
    for index in [folder / name for name in _INDEXES if (folder / name).exists()][:1]:
        files = files or _divided(index)
    if not files:
        raise UserError(f"{what} cannot be read from {folder}: it holds no {' or '.join(_WEIGHTS)}")
    state: dict[str, Tensor] = {}
    for file in files:
        state |= named_tensors(read_checkpoint(file), file)
    return state


def _divided(index: Path) -> list[Path]:
    content = read_json(index, "list of weights files")
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in names.values()
    ):
        raise UserError(f"list of weights files {index} names no files of its folder")
    return [index.with_name(name) for name in sorted(set(names.values()))]


def _check_sizes(raw: Any, tensors: int, folder: Path) -> None:
    """Raises: UserError for a configuration of a size that none has, or of more layers than there are tensors."""
    where = f"configuration {folder / CONFIG}"
    if not isinstance(raw, dict):
        raise UserError(f"{where} holds no settings")
    parts = [("", raw)]
    while parts:
        prefix, part = parts.pop()
        for key, value in part.items():
            if isinstance(value, dict):
                parts.append((f"{prefix}{key}.", value))
            most = min(_MAX_LAYERS, tensors) if key.endswith("layers") else _MAX_NUMBER
            if isinstance(value, int | float) and not value <= most:
                raise UserError(
                    f"{where}: {prefix}{key} is {str(value)[:30]}; at most {most} can be"
                )


def _plain(raw: dict[str, Any]) -> dict[str, Any]:
    """The settings without those that ask for other code."""
    return {
        key: _plain(value) if isinstance(value, dict) else value
        for key, value in raw.items()
        if key not in _DROPPED
    }


def _check_shapes(
    expected: dict[str, Tensor], state: dict[str, Tensor], folder: Path, what: str
) -> None:
    """Raises: UserError if a parameter has another shape, or far more are announced than there are."""
    other = [x for x, value in expected.items() if x in state and state[x].shape != value.shape]
    check_whole(other, folder, what)
    announced, held = (sum(x.numel() for x in part.values()) for part in (expected, state))
    if announced > 2 * held:  # what is used twice is stored once
        missing = [name for name in expected if name not in state]
        check_whole(missing, folder, what)


def check_whole(missing: list[Any], place: str | Path, what: str) -> None:
    """Raises: UserError if any parameter is missing."""
    if missing:
        raise UserError(
            f"{place} is not of {what}: {len(missing)} parameters missing or of another shape (first: {missing[0]})"
        )
