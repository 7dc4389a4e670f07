"""Weights from outside: read without running their code, checked before use.

One loader for every command; `engine.checkpoint` puts it behind Detectron2's checkpointer.
"""

import argparse
import hashlib
import pickle
import re
import socket
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.plain_pickle import PlainUnpickler

Built = TypeVar("Built", bound=nn.Module)

NETWORK_TIMEOUT_SECONDS = 30.0

# Dictionaries that wrap a state dict, most specific first: full DINO checkpoints hold student and teacher.
_WRAPPERS = ("teacher", "state_dict", "model")
_PREFIXES = ("module.", "backbone.")
# in a checkpoint of `BoxRefiner`, beside the frozen copy and h, or of `SelfDistillation`, beside the student
_REFINED = "map_network."
# what a pre-training checkpoint holds besides the network behind the map
_HEADS = ("head.", "fc.", "classifier.")


@dataclass(frozen=True)
class WeightsInfo:
    """Where weights came from: a file name or "random:SEED", and the SHA-256 of the file or the tensors."""

    source: str
    sha256: str


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


def build_random(build: Callable[[], Built], weights: str) -> Built | None:
    """What `build` makes if `weights` is "random" or "random:SEED", with its `weights_info`; None for anything else.

    Raises: UserError for a seed that is not a whole number.
    """
    seed = parse_random(weights)
    if seed is None:
        return None
    module = build_seeded(build, seed)
    module.weights_info = WeightsInfo(f"random:{seed}", module_sha256(module))
    return module


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


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The top-level dictionary of a .pth, .pt, .pkl or .safetensors file; no code in it is run.

    Raises: UserError if the file is missing, not a checkpoint, or a pickle that holds more than data.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no weights file at {path}")
    try:
        content = _read(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise UserError(f"weights file {path} is refused: {_reason(error)}") from error
    except safetensors.SafetensorError as error:
        raise UserError(f"weights file {path} is no safetensors file: {error}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"weights file {path} holds a {type(content).__name__}; a state dict is needed"
        )
    return content


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    if path.suffix == ".pkl":
        with path.open("rb") as file:
            return PlainUnpickler(file).load()
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """The part of a loader's error that a user can act on, in one line."""
    found = re.search(r"GLOBAL ([\w.]+)|it names ([\w.]+)", str(error))
    if found or "weights only" in str(error).lower():
        name = next((group for group in found.groups() if group), "code") if found else "code"
        return (
            f"it is a pickle that would run {name}; only tensors, numbers, strings and containers "
            "are read. Save its state dict with torch.save or as safetensors; a grounding network that was saved whole "
            "is converted by tools/convert_grounding_checkpoint.py"
        )
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The network's tensors in `path` by their bare names: wrappers and module./backbone. prefixes removed.

    Of a full DINO checkpoint the teacher is taken, of a checkpoint of ours the refined network f^h.
    """
    content = read_checkpoint(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    refined = {
        name.removeprefix(_REFINED): value
        for name, value in content.items()
        if name.startswith(_REFINED)
    }
    state = {}
    for name, value in (refined or content).items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if isinstance(value, Tensor):
            state[_bare(name)] = value
    return state


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


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
    faults = [
        f"{len(names)} {what} (first: {names[0]})"
        for what, names in (
            ("missing", missing),
            ("unknown", foreign),
            ("of another shape", shapes),
        )
        if names
    ]
    if faults:
        raise UserError(f"weights file {path} is not of {name}: parameters {', '.join(faults)}")
    dtypes = {key: value.dtype for key, value in expected.items()}
    module.load_state_dict(
        {key: state[key].to(dtypes[key]) for key in expected}, assign=True, strict=True
    )
    module.requires_grad_(True)
