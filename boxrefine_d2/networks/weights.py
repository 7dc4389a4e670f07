"""Weights from outside: read without running their code, checked before use.

One loader for every command; `training.checkpoint` puts it behind Detectron2's checkpointer.
"""

import hashlib
import socket
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from boxrefine_d2.errors import UserError

from .checkpoint_file import read_checkpoint

Built = TypeVar("Built")

NETWORK_TIMEOUT_SECONDS = 30.0

# Dictionaries that wrap a state dict, most specific first: full DINO checkpoints hold student and teacher.
_WRAPPERS = ("teacher", "state_dict", "model")
_PREFIXES = ("module.", "backbone.")
_MAX_NAME = 1000  # characters
_COMPILED = "_orig_mod."  # of torch.compile, wherever a module was compiled
# in a checkpoint of `BoxRefiner`, beside the frozen copy and h, or of `SelfDistillation`, beside the student
_REFINED = "map_network."
# what a pre-training checkpoint holds besides the network behind the map
_HEADS = ("head.", "fc.", "classifier.")


@dataclass(frozen=True)
class WeightsInfo:
    """Where weights came from: a file name or "random:SEED", and the SHA-256 of the file or the tensors."""

    source: str
    sha256: str


class SourcedNetwork(nn.Module):
    """A network that knows the source of its weights.

    Attributes: weights_info: there in a network from `build_network`.
    """

    weights_info: WeightsInfo


_SEED_DIGITS = 18  # what PyTorch takes


def parse_random(text: str) -> int | None:
    """The seed of "random" or "random:SEED"; None for anything else.

    Raises: UserError for a seed that is not a whole number.
    """
    if text != "random" and not text.startswith("random:"):
        return None
    seed = text.partition(":")[2] or "0"
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= _SEED_DIGITS):
        raise UserError(
            f"weights {text[:50]!r}: the seed must be a whole number of at most {_SEED_DIGITS} digits, as in random:0"
        )
    return int(seed)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_sha256(module: nn.Module) -> str:
    """SHA-256 over names and bytes of a module's state, in its own order."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def build_seeded(build: Callable[[], Built], seed: int) -> Built:
    """What `build` makes with the initial weights of a seed; the caller's random state does not move."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def build_empty(build: Callable[[], Built]) -> Built:
    """What `build` makes without memory for its weights, to be filled by `load_into`."""
    with torch.device("meta"):
        return build()


def cache_path(url: str) -> Path:
    """Where the file of that address is kept, whether it is there or not: PyTorch's own cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def fetch(url: str) -> Path:
    """The cached copy of an official file, fetched from its host the first time.

    Raises: UserError naming the URL and the place to put the file when the host cannot be reached.
    """
    path = cache_path(url)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _network_timeout(NETWORK_TIMEOUT_SECONDS):
            torch.hub.download_url_to_file(url, str(path))
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"cannot fetch {url} ({error}); fetch it elsewhere and give it with --weights FILE "
            f"(MODEL.MAP_NETWORK.WEIGHTS in a config), or put it at {path}"
        ) from error
    return path


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The network's tensors in `path` by their bare names: wrappers and module./backbone./_orig_mod. removed.

    Of a full DINO checkpoint the teacher is taken, of a checkpoint of ours the refined network f^h.

    Raises: UserError for what `read_checkpoint` refuses, and for a file without tensors by name.
    """
    content = read_checkpoint(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    tensors = named_tensors(content, path)
    if not tensors:
        raise UserError(f"weights file {path} holds no parameters by name")
    refined = {
        name.removeprefix(_REFINED): value
        for name, value in tensors.items()
        if name.startswith(_REFINED)
    }
    return {_bare(name): value for name, value in (refined or tensors).items()}


def named_tensors(content: dict[Any, Any], path: str | Path) -> dict[str, Tensor]:
    """The tensors and arrays of a dictionary whose keys are names, without the mark of torch.compile.

    Raises: UserError for numbers that no network is made of.
    """
    found = {}
    for name, value in content.items():
        if not isinstance(name, str):
            continue
        if not name.isprintable() or len(name) > _MAX_NAME:
            raise UserError(
                f"weights file {path} holds a name that is no parameter's: {name[:50]!a}"
            )
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biufc":
                raise UserError(f"weights file {path} holds text as {name[:100]!r}, not numbers")
            value = torch.from_numpy(value)
        if isinstance(value, Tensor):
            found[name.replace(_COMPILED, "")] = value
    return found


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def check_numbers(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Raises: UserError, naming the first parameter, if one holds NaN, infinity or complex numbers."""
    for name, value in state.items():
        if value.is_complex():
            raise UserError(f"weights file {path} holds complex numbers, first: {name}")
        if value.is_floating_point() and not value.float().isfinite().all():
            raise UserError(
                f"weights file {path} holds numbers that are not finite, first: {name}; the training that wrote it broke "
                "down, or the file is damaged"
            )


def load_into(module: nn.Module, state: dict[str, Tensor], *, name: str, path: Path) -> None:
    """Fills a module built on the meta device; heads that pre-training leaves behind are dropped.

    Raises: UserError if the file belongs to another architecture.
    """
    expected = module.state_dict()
    heads = tuple(x for x in _HEADS if not any(key.startswith(x) for key in expected))
    # old files lack BatchNorm's step counter, which nothing reads
    counters = {key: torch.tensor(0) for key in expected if key.endswith("num_batches_tracked")}
    state = counters | {
        key: value for key, value in state.items() if key in expected or not key.startswith(heads)
    }
    missing = [key for key in expected if key not in state]
    foreign = [key for key in state if key not in expected]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    kinds = [
        f"{key} {state[key].dtype} instead of {value.dtype}"
        for key, value in expected.items()
        if key in state and not is_number_for(value, state[key])
    ]
    faults = [
        f"{len(names)} {what} (first: {names[0]})"
        for what, names in (
            ("missing", missing),
            ("unknown", foreign),
            ("of another shape", shapes),
            ("of another kind of numbers", kinds),
        )
        if names
    ]
    if faults:
        raise UserError(f"weights file {path} is not of {name}: parameters {', '.join(faults)}")
    own = {key: _own(state[key], value.dtype) for key, value in expected.items()}
    check_numbers(own, path)
    module.load_state_dict(own, assign=True, strict=True)
    module.requires_grad_(True)


def is_number_for(expected: Tensor, value: Tensor) -> bool:
    """Whether it is no whole number in place of a fraction, as in a quantised network, and none that is complex."""
    return value.is_floating_point() or not (expected.is_floating_point() or value.is_complex())


def _own(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy that shares no memory with another parameter; in a type that holds it."""
    return value.to(dtype, copy=True, memory_format=torch.contiguous_format)
