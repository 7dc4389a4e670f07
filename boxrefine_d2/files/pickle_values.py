"""What a pickle of data may be made of: keys, containers, and values that are completed later."""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Kind = TypeVar("Kind")

MISFIT = "its instructions do not fit one another"
_MAX_KEY_PARTS = 16
_PLAIN = (str, bytes, int, float, bool, type(None))


class NamesCodeError(pickle.UnpicklingError):
    """A pickle names what is neither data nor a container of it. Attributes: name: "os.system"."""

    def __init__(self, name: str):
        super().__init__(f"it names {name}")
        self.name = name


class Maker:
    """What may be called to make a value; of what a file names, nothing else is."""

    def __init__(self, make: Callable[..., Any]):
        self.make = make


class Unfinished:
    """A value that a later part of the pickle completes."""

    def __init__(self) -> None:
        self.places: list[int] = []  # where the memo keeps it

    def finished(self, state: Any) -> Any:
        """Return the value itself, which takes the place of this one."""
        raise NotImplementedError


def checked_key(key: Any) -> Hashable:
    """Return a key that can be hashed in no time: what is nested to any depth cannot.

    Raises: UnpicklingError.
    """
    if isinstance(key, tuple | frozenset) and not (
        len(key) <= _MAX_KEY_PARTS and all(isinstance(part, _PLAIN) for part in key)
    ):
        raise pickle.UnpicklingError("a key of it is nested")
    checked: Hashable = key
    return checked


def with_items(target: dict[Any, Any], pairs: Any) -> Any:
    """Return the dictionary with further pairs. Raises: UnpicklingError for a nested key."""
    for key, value in pairs:
        target[checked_key(key)] = value
    return target


def in_pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    """Return keys with their values, from a list where they take turns. Raises: UnpicklingError for one too few."""
    if len(values) % 2:
        raise pickle.UnpicklingError("a key of it has no value")
    return list(zip(values[::2], values[1::2], strict=True))


def of_kind(kind: type[Kind], value: Any) -> Kind:
    """Return the value. Raises: UnpicklingError if it is of another kind."""
    if not isinstance(value, kind):
        raise pickle.UnpicklingError(MISFIT)
    return value


def keep_versions(target: Any, state: Any) -> None:
    """Of what was an attribute of a dictionary, the versions of modules that `torch` keeps with a state dict."""
    versions = state.get("_metadata") if isinstance(state, dict) else None
    if isinstance(versions, dict) and all(
        isinstance(name, str)
        and isinstance(entry, dict)
        and isinstance(entry.get("version"), int | None)
        for name, entry in versions.items()
    ):
        target._metadata = versions


def _ordered(items: Any = ()) -> Any:
    return with_items(OrderedDict(), items.items() if isinstance(items, dict) else items)


def _counter(items: Any = ()) -> Any:
    return with_items(Counter(), of_kind(dict, items).items() if items else ())


# containers of the standard library
CONTAINERS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Maker(_ordered),
    ("collections", "Counter"): Maker(_counter),
    **{
        (module, name): Maker(make)
        for module in ("builtins", "__builtin__")
        for name, make in (
            ("set", lambda items=(): set(map(checked_key, items))),
            ("bytes", lambda: b""),
        )
    },
}
