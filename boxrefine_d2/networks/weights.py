"""Loader of weights files for every command; it runs no code of a file and checks it before use.

`training.checkpoint` uses this loader behind Detectron2's checkpointer.
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

# Keys of the dictionaries that wrap a state dict, the most specific first. Full DINO checkpoints
# hold student and teacher.
_WRAPPERS = ("teacher", "state_dict", "model")
_PREFIXES = ("module.", "backbone.")
_MAX_NAME = 1000  # characters
_COMPILED = "_orig_mod."  # torch.compile adds it to the name of a compiled module
# Prefix of the network in a checkpoint of `BoxRefiner`, which also holds the frozen copy and h, and
# of `SelfDistillation`, which also holds the student.
_REFINED = "map_network."
# prefixes of the heads that a pre-training checkpoint holds beside the map network
_HEADS = ("head.", "fc.", "classifier.")


@dataclass(frozen=True)
class WeightsInfo:
    """Source of weights.

    Attributes:
        source: a file name or "random:SEED".
        sha256: hash of the file or of the tensors.
    """

    source: str
    sha256: str


class SourcedNetwork(nn.Module):
    """Network that knows the source of its weights.

    Attributes: weights_info: set by `build_network`.
    """

    weights_info: WeightsInfo

    def file_facts(self) -> dict[str, str]:
        """Return the facts that a file of the network holds beside its tensors, as text by name.

        A reader builds the network from them. They are {} if the name of the network says enough.
        """
        return {}


def file_facts(network: nn.Module) -> dict[str, str]:
    """Return `SourcedNetwork.file_facts` of a network; {} for any other module."""
    return network.file_facts() if isinstance(network, SourcedNetwork) else {}


_SEED_DIGITS = 18  # PyTorch accepts seeds of that length


def parse_random(text: str) -> int | None:
    """Return the seed in "random" or "random:SEED"; None for any other text.

    Raises: UserError for a seed that is not a whole number.
    """
    if text != "random" and not text.startswith("random:"):
        return None
    seed = text.partition(":")[2] or "0"
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= _SEED_DIGITS):
        raise UserError(
            f"weights {text[:50]!r}: the seed must be a whole number of at most {_SEED_DIGITS} "
            "digits, as in random:0"
        )
    return int(seed)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of the names and bytes of a module's state dict, in its order."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def build_seeded(build: Callable[[], Built], seed: int) -> Built:
    """Return the result of `build` with the initial weights of a seed.

    The caller's random state does not change.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def build_empty(build: Callable[[], Built]) -> Built:
    """Return the result of `build` without memory for its weights; `load_into` fills it."""
    with torch.device("meta"):
        return build()


def cache_path(url: str) -> Path:
    """Return the place of a URL's file in PyTorch's cache; the file need not exist."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


BY_NETWORK = "--weights FILE (MODEL.MAP_NETWORK.WEIGHTS in a config)"


def fetch(url: str, by: str = BY_NETWORK) -> Path:
    """Return the cached copy of an official file; fetch it if it is not cached.

    Args: by: flag or key by which the user can give the file, for the message.
    Raises: UserError if the host cannot be reached; it names the URL and the place for the file.
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
            f"cannot fetch {url} ({error}); fetch it elsewhere and give it with {by}, or put it at "
            f"{path}"
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
    """Return the network's tensors in a file, without wrappers and prefixes of their names.

    The prefixes are module., backbone. and _orig_mod. From a full DINO checkpoint the teacher is
    taken, from a checkpoint of ours the refined network f^h.

    Raises: UserError for a file that `read_checkpoint` refuses, and for a file without named
        tensors.
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
    """Return the tensors and arrays of a dictionary by name, without the mark of torch.compile.

    Raises: UserError for a name that no parameter can have, and for arrays that are not numbers.
    """
    tensors = {}
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
            tensors[name.replace(_COMPILED, "")] = value
    return tensors


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def check_numbers(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse NaN, infinity and complex numbers. Raises: UserError with the first such parameter."""
    for name, value in state.items():
        if value.is_complex():
            raise UserError(f"weights file {path} holds complex numbers, first: {name}")
        if value.is_floating_point() and not value.float().isfinite().all():
            raise UserError(
                f"weights file {path} holds numbers that are not finite, first: {name}; the "
                "training that wrote it broke down, or the file is damaged"
            )


def load_into(module: nn.Module, state: dict[str, Tensor], *, name: str, path: Path) -> None:
    """Fill a module that was built on the meta device; drop the heads of pre-training.

    Args: name: name of the network in messages.
    Raises: UserError if the file belongs to another architecture.
    """
    expected = module.state_dict()
    heads = tuple(x for x in _HEADS if not any(key.startswith(x) for key in expected))
    # Old files lack the step counter of batch norms, which no code reads.
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
        f"{len(names)} {fault} (first: {names[0]})"
        for fault, names in (
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
    """Return True if the numbers of a tensor can fill a parameter.

    Complex numbers cannot. Whole numbers, as in a quantised network, cannot replace floating-point
    numbers.
    """
    return value.is_floating_point() or not (expected.is_floating_point() or value.is_complex())


def _own(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a copy of the given type that shares no memory with another parameter."""
    return value.to(dtype, copy=True, memory_format=torch.contiguous_format)
