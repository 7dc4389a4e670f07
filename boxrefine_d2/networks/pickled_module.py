"""The tensors of a network that was saved whole (`torch.save(network)`), read without running any code of the file.

Such a file names the classes of its author, which `torch.load` would import. Here every class is a stand-in that keeps
its attributes and does nothing; tensors are put together by ourselves.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.pickle_values import Maker, NamesCodeError, Unfinished

from .checkpoint_file import read_content
from .torch_tensors import TorchUnpickler

_MAX_DEPTH = 100  # of modules in modules


class _StandIn(Unfinished, Maker, dict[Any, Any]):
    """In place of any class, function or instance: takes whatever it is made from and given, and runs nothing."""

    def __init__(self, *_: Any, **__: Any):
        Unfinished.__init__(self)
        self.attributes: dict[Any, Any] = {}

    def make(self, *_: Any, **__: Any) -> "_StandIn":
        """An instance."""
        return _StandIn()

    def finished(self, state: Any) -> "_StandIn":
        """Itself, with its attributes."""
        if isinstance(state, dict):
            self.attributes.update(state)
        return self

    __hash__ = object.__hash__  # type: ignore[assignment]  # unlike other dictionaries it may be a key


class _ModuleUnpickler(TorchUnpickler):
    """Admits any name, as a `_StandIn`."""

    def find(self, module: str, name: str) -> Any:
        """See `PickleMachine`."""
        try:
            return super().find(module, name)
        except NamesCodeError:
            return _StandIn()


def read_pickled_module(path: str | Path) -> dict[str, Tensor]:
    """Names and tensors as `network.state_dict()` would have given them, "module." of DataParallel included.

    Raises: UserError if the file is missing, not of torch.save, damaged, or holds no network.
    """
    path = Path(path)
    content = read_content(path, _ModuleUnpickler)
    if isinstance(content, dict) and not isinstance(content, _StandIn):
        raise UserError(f"{path} holds a state dict, no whole network: it is read as it is")
    found = dict(_state(content, "", _MAX_DEPTH))
    if not found:
        raise UserError(f"{path} holds no network with parameters")
    return found


def _state(module: Any, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """As `state_dict`: parameters, then persistent buffers, then the children's."""
    if not isinstance(module, _StandIn) or not depth:
        return
    forgotten = module.attributes.get("_non_persistent_buffers_set")
    for kind in ("_parameters", "_buffers"):
        for name, value in _named(module, kind):
            if isinstance(value, Tensor) and not (kind == "_buffers" and _has(forgotten, name)):
                yield prefix + name, value
    for name, child in _named(module, "_modules"):
        yield from _state(child, f"{prefix}{name}.", depth - 1)


def _named(module: _StandIn, kind: str) -> list[tuple[str, Any]]:
    """The entries of one of its dictionaries, whose keys are names."""
    found = module.attributes.get(kind)
    items = found.items() if isinstance(found, dict) else ()
    return [(name, value) for name, value in items if isinstance(name, str)]


def _has(names: Any, name: str) -> bool:
    return isinstance(names, set) and name in names
