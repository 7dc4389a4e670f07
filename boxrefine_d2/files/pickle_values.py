"""Values that a pickle of data may hold: keys, containers, and values completed later."""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Kind = TypeVar("Kind")

MISFIT = "its instructions contradict each other"
_MAX_KEY_PARTS = 16
_PLAIN = (str, bytes, int, float, bool, type(None))


class NamesCodeError(pickle.UnpicklingError):
    """Error for a pickle that names something other than data and containers of data.

    Attributes: name: the name, such as "os.system".
    """

    def __init__(self, name: str):
        super().__init__(f"it names {name}")
        self.name = name


class Maker:
    """A function that the machine may call to make a value; it calls nothing else in a file."""

    def __init__(self, make: Callable[..., Any]):
        self.make = make


class Unfinished:
    """A value that a later part of the pickle completes."""

    def __init__(self) -> None:
        self.places: list[int] = []  # indices at which the memo keeps this value

    def finished(self, state: Any) -> Any:
        """Return the completed value, which replaces this one.

        Args: state: the later part of the pickle.
        """
        raise NotImplementedError


def checked_key(key: Any) -> Hashable:
    """Return a key after checking that hashing it takes little time; deep nesting does not.

    Raises: UnpicklingError for a nested key.
    """
    if isinstance(key, tuple | frozenset) and not (
        len(key) <= _MAX_KEY_PARTS and all(isinstance(part, _PLAIN) for part in key)
    ):
        raise pickle.UnpicklingError("one of its keys is nested")
    checked: Hashable = key
    return checked


def with_items(target: dict[Any, Any], pairs: Any) -> Any:
    """Return the dictionary with further pairs added. Raises: UnpicklingError for a nested key."""
    for key, value in pairs:
        target[checked_key(key)] = value
    return target


def in_pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    """Return (key, value) pairs from a list in which keys and values alternate.

    Raises: UnpicklingError if the last key has no value.
    """
    if len(values) % 2:
        raise pickle.UnpicklingError("one of its keys has no value")
    return list(zip(values[::2], values[1::2], strict=True))


def of_kind(kind: type[Kind], value: Any) -> Kind:
    """Return the value. Raises: UnpicklingError if it is of another type."""
    if not isinstance(value, kind):
        raise pickle.UnpicklingError(MISFIT)
    return value


def keep_versions(target: Any, state: Any) -> None:
    """Keep the versions of modules that `torch` stores in an attribute of a state dict.

    All other attributes of a dictionary are dropped.
    """
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
