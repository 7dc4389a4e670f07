"""Builder of every network that is read from a file, from a name and a choice of weights."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from .weights import (
    SourcedNetwork,
    WeightsInfo,
    build_empty,
    build_seeded,
    file_sha256,
    load_into,
    module_sha256,
    parse_random,
    read_state_dict,
)

Network = TypeVar("Network", bound=SourcedNetwork)
StateDict = dict[str, Tensor]


def build_network(
    name: str,
    weights: str | Path | None,
    build: Callable[[], Network],
    *,
    own: Callable[[], Path],
    read: Callable[[Path], tuple[StateDict, list[Path]]] | None = None,
) -> Network:
    """Return a network in eval mode, float32, on the CPU.

    Args:
        name: name of the network in messages.
        weights: a file, "random" or "random:SEED", or None (or "") for the network's own file.
        build: returns the network without weights from a file.
        own: returns the shipped or the official file. It raises a UserError if there is none.
        read: returns the tensors of a file by our names, and the files that hold them; the default
            is `read_state_dict`.
    Returns: the network. Its `weights_info` names the source of the weights and a SHA-256. It is
        the hash of the file, or of the tensors if there is no file or more than one.
    Raises: UserError for a file that is missing or of another network, and for a seed that is not a
        whole number.
    """
    seed = parse_random(str(weights or ""))
    if seed is not None:
        return build_untrained(build, seed).eval()
    path = Path(weights) if weights else own()
    state, files = read(path) if read else (read_state_dict(path), [path])
    network = build_empty(build)
    load_into(network, state, name=name, path=path)
    sha256 = file_sha256(path) if len(files) == 1 else module_sha256(network)
    network.weights_info = WeightsInfo(" + ".join(file.name for file in files), sha256)
    return network.eval()


def build_untrained(build: Callable[[], Network], seed: int) -> Network:
    """Return a network with the initial weights of a seed, and its `weights_info`."""
    network = build_seeded(build, seed)
    network.weights_info = WeightsInfo(f"random:{seed}", module_sha256(network))
    return network
