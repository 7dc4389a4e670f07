"""Networks and tokenizers as `transformers` keeps them: in a folder, or under an official name."""

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
    network: type[PreTrainedModel], tokenizer: type[Any], place: str, *, what: str
) -> tuple[Any, Any]:
    """The network in float32 on the CPU, and its tokenizer.

    Args:
        place: a folder (config.json, model.safetensors or pytorch_model.bin, the tokenizer's files), or the name on the host
            that the library asks where its cache has nothing.
        what: what it is to be, for messages.
    Raises: UserError for what cannot be had, or is of another network.
    """
    local = Path(place).is_dir()
    with _reasons(what, place), quiet():
        if local:
            model = read_model(network, Path(place), what=what)
            check_files(Path(place))
        else:
            load: Any = network.from_pretrained  # its type knows nothing of the second value
            model, found = load(place, dtype="float32", output_loading_info=True)
            check_whole([*found["missing_keys"], *found["mismatched_keys"]], place, what)
            check_numbers(model.state_dict(), place)
        words = tokenizer.from_pretrained(place, local_files_only=local, trust_remote_code=False)
        words("a word")  # what is wrong with its settings shows when it is used
    return model, words


@contextmanager
def _reasons(what: str, place: str) -> Iterator[None]:
    """What the libraries raise becomes a line: they raise anything, and `tokenizers` bare exceptions and panics."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise UserError(
            f"{what} cannot be read from {place}: {reason} Fetch it elsewhere and give its folder"
        ) from error


def check_folder(place: str) -> None:
    """Raises: UserError unless it is a folder."""
    if not Path(place).is_dir():
        raise UserError(
            f"no folder {place}: give one with config.json, model.safetensors and the tokenizer's files, as "
            "transformers' save_pretrained writes it"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own words and bars: what went wrong is said once, by us."""
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
