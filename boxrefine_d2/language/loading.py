"""Loader of networks and tokenizers of `transformers`, from a folder or by an official name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import logging as hub_logging
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.weights import check_numbers

from .model_folder import check_files, check_whole, read_model


def read_pretrained(
    network: type[PreTrainedModel], tokenizer: type[Any], place: str, *, name: str
) -> tuple[Any, Any]:
    """Return the network in float32 on the CPU, and its tokenizer.

    Args:
        place: a folder (config.json, model.safetensors or pytorch_model.bin, the files of the
            tokenizer), or a name on the library's host. The library asks its host if its cache does
            not hold the name.
        name: name of the network in messages.
    Raises: UserError for files that cannot be read or fetched, or are of another network.
    """
    local = Path(place).is_dir()
    with _reasons(name, place), quiet():
        if local:
            model = read_model(network, Path(place), name=name)
            check_files(Path(place))
        else:
            load: Any = network.from_pretrained  # its type does not mention the second value
            model, info = load(place, dtype="float32", output_loading_info=True)
            check_whole([*info["missing_keys"], *info["mismatched_keys"]], place, name)
            check_numbers(model.state_dict(), place)
        words = tokenizer.from_pretrained(place, local_files_only=local, trust_remote_code=False)
        words("a word")  # a tokenizer with wrong settings fails only when it is used
    return model, words


@contextmanager
def _reasons(name: str, place: str) -> Iterator[None]:
    """Turn every error of the libraries into one line.

    They raise errors of any type. `tokenizers` raises bare exceptions and panics.
    """
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise UserError(
            f"{name} cannot be read from {place}: {reason} Fetch it elsewhere and give its folder"
        ) from error


def check_folder(place: str) -> None:
    """Refuse a path that is not a folder. Raises: UserError."""
    if not Path(place).is_dir():
        raise UserError(
            f"no folder {place}: give one with config.json, model.safetensors and the tokenizer's "
            "files, as "
            "transformers' save_pretrained writes it"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' messages and progress bars; our own error names the fault once."""
    libraries = (transformers_logging, hub_logging)
    before = [library.get_verbosity() for library in libraries]
    bars = transformers_logging.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, before, strict=True):
            library.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
