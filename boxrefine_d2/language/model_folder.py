"""Reader of a network's folder as `transformers` writes it; it checks every file before use.

config.json may announce a network of any size, and the library allocates memory for parameters that
the files lack. For this reason the network is first built without memory. It is then built with
memory only if its weights fill it.
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
# A folder holds one of these files. A large network is divided, and an index lists its files.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEXES = tuple(f"{name}.index.json" for name in _WEIGHTS)
_MAX_NUMBER = 1_000_000  # in a configuration; vocabularies have up to about 250 000 words
_MAX_LAYERS = 1000
_WORDS = (".json", ".txt", ".jinja", ".model")  # suffixes of the files that a tokenizer reads
_MAX_WORDS_BYTES = 2**27
# These settings ask the library for other code than the network's own.
_DROPPED = {"auto_map", "quantization_config", "attn_implementation", "_attn_implementation"}


def check_files(folder: Path) -> None:
    """Refuse a folder in which a tokenizer would read a pipe, a device or a file that is too large.

    The tokenizer does not read other files, folders and broken links. They are not checked.

    Raises: UserError for such a folder.
    """
    for path in (*folder.iterdir(), *(folder / CHAT_TEMPLATE_DIR).glob("*")):
        if path.suffix in _WORDS and path.exists() and not path.is_dir():
            check_regular_file(path, "file of a network", _MAX_WORDS_BYTES)


def read_model(network: type[PreTrainedModel], folder: Path, *, name: str) -> PreTrainedModel:
    """Return the network, float32, on the CPU.

    Args: name: name of the network in messages.
    Raises: UserError for files that are missing, damaged, of another network, or do not fit one
        another. The library raises other errors for a configuration that it cannot read.
    """
    state = _read_weights(folder, name)
    raw = read_json(folder / CONFIG, "configuration")
    _check_sizes(raw, len(state), folder)
    kind: Any = network.config_class  # its type allows None
    config = kind.from_dict(_plain(raw))
    with torch.device("meta"):
        expected = network(config).state_dict()
    _check_shapes(expected, state, folder, name)
    load: Any = network.from_pretrained  # its type does not mention the second value
    model: PreTrainedModel
    model, info = load(
        None, config=config, state_dict=state, dtype="float32", output_loading_info=True
    )
    check_whole([*info["missing_keys"], *info["mismatched_keys"]], folder, name)
    check_numbers(model.state_dict(), folder)
    return model


def _read_weights(folder: Path, name: str) -> dict[str, Tensor]:
    files = [folder / file for file in _WEIGHTS if (folder / file).exists()][:1]
    for index in [folder / file for file in _INDEXES if (folder / file).exists()][:1]:
        files = files or _divided(index)
    if not files:
        raise UserError(f"{name} cannot be read from {folder}: it holds no {' or '.join(_WEIGHTS)}")
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
    """Refuse a configuration with a number that is too large, or with more layers than tensors.

    Raises: UserError for such a configuration.
    """
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
                    f"{where}: {prefix}{key} is {str(value)[:30]}; at most {most} is allowed"
                )


def _plain(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without those that ask for other code."""
    return {
        key: _plain(value) if isinstance(value, dict) else value
        for key, value in raw.items()
        if key not in _DROPPED
    }


def _check_shapes(
    expected: dict[str, Tensor], state: dict[str, Tensor], folder: Path, name: str
) -> None:
    """Refuse weights with another shape, or with far fewer numbers than the network has.

    Raises: UserError for such weights.
    """
    other = [x for x, value in expected.items() if x in state and state[x].shape != value.shape]
    check_whole(other, folder, name)
    announced, held = (sum(x.numel() for x in part.values()) for part in (expected, state))
    if announced > 2 * held:  # a parameter that is used twice is stored once
        missing = [parameter for parameter in expected if parameter not in state]
        check_whole(missing, folder, name)


def check_whole(missing: list[Any], place: str | Path, name: str) -> None:
    """Refuse weights of which a parameter is missing. Raises: UserError.

    Args:
        missing: names of the parameters that are missing or of another shape.
        name: name of the network in messages.
    """
    if missing:
        raise UserError(
            f"{place} is not of {name}: {len(missing)} parameters missing or of another shape "
            f"(first: {missing[0]})"
        )
