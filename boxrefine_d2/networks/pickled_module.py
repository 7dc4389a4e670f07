"""Reader of networks that were saved whole (`torch.save(network)`); it runs no code of the file.

Such a file names the classes of its author, and `torch.load` would import them. Here a stand-in
takes the place of every class. It keeps its attributes and does nothing. Our own code builds the
tensors.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.pickle_values import Maker, NamesCodeError, Unfinished

from .checkpoint_file import read_content
from .torch_tensors import TorchUnpickler

_MAX_DEPTH = 100  # levels of modules inside modules


class _StandIn(Unfinished, Maker, dict[Any, Any]):
    """Stand-in for any class, function or instance; it accepts any arguments and runs nothing."""

    def __init__(self, *_: Any, **__: Any):
        Unfinished.__init__(self)
        self.attributes: dict[Any, Any] = {}

    def make(self, *_: Any, **__: Any) -> "_StandIn":
        """Return a stand-in for an instance."""
        return _StandIn()

    def finished(self, state: Any) -> "_StandIn":
        """Return the stand-in itself, with its attributes."""
        if isinstance(state, dict):
            self.attributes.update(state)
        return self

    __hash__ = object.__hash__  # type: ignore[assignment]  # it may be the key of a dictionary


class _ModuleUnpickler(TorchUnpickler):
    """Unpickler that accepts any name; an unknown name becomes a `_StandIn`."""

    def find(self, module: str, name: str) -> Any:
        """Return the object of a name, see `PickleMachine`."""
        try:
            return super().find(module, name)
        except NamesCodeError:
            return _StandIn()


def read_pickled_module(path: str | Path) -> dict[str, Tensor]:
    """Return the names and tensors that `network.state_dict()` would have given.

    The names keep the "module." of DataParallel.

    Raises: UserError if the file is missing, not of torch.save, damaged, or holds no network.
    """
    path = Path(path)
    content = read_content(path, _ModuleUnpickler)
    if isinstance(content, dict) and not isinstance(content, _StandIn):
        raise UserError(
            f"{path} holds a state dict, not a whole network; it can be read without conversion"
        )
    state = dict(_state(content, "", _MAX_DEPTH))
    if not state:
        raise UserError(f"{path} holds no network with parameters")
    return state


def _state(module: Any, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors in the order of `state_dict`.

    Parameters come first, then persistent buffers, then the tensors of the children.
    """
    if not isinstance(module, _StandIn) or not depth:
        return
    transient = module.attributes.get("_non_persistent_buffers_set")
    for kind in ("_parameters", "_buffers"):
        for name, value in _named(module, kind):
            if isinstance(value, Tensor) and not (kind == "_buffers" and _has(transient, name)):
                yield prefix + name, value
    for name, child in _named(module, "_modules"):
        yield from _state(child, f"{prefix}{name}.", depth - 1)


def _named(module: _StandIn, kind: str) -> list[tuple[str, Any]]:
    """Return the entries with text keys of one dictionary of a module."""
    entries = module.attributes.get(kind)
    items = entries.items() if isinstance(entries, dict) else ()
    return [(name, value) for name, value in items if isinstance(name, str)]


def _has(names: Any, name: str) -> bool:
    return isinstance(names, set) and name in names
