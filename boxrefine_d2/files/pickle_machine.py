"""A machine that reads pickles and can do nothing but assemble data.

The unpicklers of the standard library call any name in a file, hash keys of any depth, and take as
much memory as the file announces. This machine reads the opcodes with `pickletools`, calls only the
makers in its table, and refuses opcodes that data does not need.
"""

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol, cast

import numpy as np

from .pickle_values import (
    Maker,
    NamesCodeError,
    Unfinished,
    checked_key,
    in_pairs,
    keep_versions,
    of_kind,
    with_items,
)

MAX_OPCODES = 10_000_000  # one opcode may take some 100 bytes of memory
_MAX_STRING_BYTES = 2**31
_MAX_LINE_BYTES = 2**24


class ByteSource(Protocol):
    """Source of the bytes of a pickle."""

    def read(self, count: int, /) -> bytes:
        """Return so many bytes, or the rest if it is shorter."""

    def readline(self, most: int, /) -> bytes:
        """Return the rest of a line, at most so many bytes."""


class PickleMachine:
    """Reader of one pickle after another from a source, which is read strictly forward."""

    makers: Mapping[tuple[str, str], Any] = {}

    def __init__(self, source: ByteSource):
        self._source = _Bounded(source)
        self._array_bytes = 0

    def find(self, module: str, name: str) -> Any:
        """Return the object that a name in the file stands for.

        Raises: NamesCodeError for a name that is not in the table.
        """
        try:
            return self.makers[module, name]
        except KeyError:
            raise NamesCodeError(f"{module}.{name}"[:200]) from None

    def persistent(self, saved: Any) -> Any:
        """Return the value of a reference to data outside the pickle; here every one is refused."""
        raise pickle.UnpicklingError("it refers to data that is not in the file")

    def load(self) -> Any:
        """Return the value of the next pickle.

        Raises: NamesCodeError; or UnpicklingError, ValueError, TypeError, LookupError,
            AttributeError, OverflowError or MemoryError for a damaged or hostile pickle.
        """
        self._stack: list[Any] = []
        self._marks: list[int] = []  # positions on the stack at which groups of values begin
        self._memo: dict[int, Any] = {}
        source = cast(IO[bytes], self._source)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
            if count > MAX_OPCODES:
                raise pickle.UnpicklingError(f"it has more than {MAX_OPCODES} instructions")
            name = opcode.name
            if name == "STOP":
                return self._pop()
            if name in _CONSTANTS:
                self._stack.append(argument)
            elif name in _EMPTY:
                self._stack.append(_EMPTY[name]())
            else:
                step = _STEPS.get(name)
                if step is None:
                    raise pickle.UnpicklingError(f"data does not need its instruction {name}")
                step(self, argument)
        raise EOFError("it ends before its value")

    def _pop(self) -> Any:
        return self._stack.pop()

    def _top(self) -> Any:
        return self._stack[-1]

    def _group(self) -> list[Any]:
        """Remove the last mark and the values above it; return these values."""
        start = self._marks.pop()
        group = self._stack[start:]
        del self._stack[start:]
        return group

    # the steps of the opcodes, in the order of `pickletools`

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _drop(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _drop_group(self, _: Any) -> None:
        self._group()

    def _duplicate(self, _: Any) -> None:
        self._stack.append(self._top())

    def _make_list(self, _: Any) -> None:
        self._stack.append(self._group())

    def _make_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._group()))

    def _make_short_tuple(self, count: int) -> None:
        values = tuple(reversed([self._pop() for _ in range(count)]))
        self._stack.append(values)

    def _make_dict(self, _: Any) -> None:
        self._stack.append(with_items({}, in_pairs(self._group())))

    def _make_frozenset(self, _: Any) -> None:
        self._stack.append(frozenset(map(checked_key, self._group())))

    def _append(self, _: Any) -> None:
        value = self._pop()
        of_kind(list, self._top()).append(value)

    def _extend(self, _: Any) -> None:
        values = self._group()
        of_kind(list, self._top()).extend(values)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set_pairs([(key, value)])

    def _set_items(self, _: Any) -> None:
        self._set_pairs(in_pairs(self._group()))

    def _set_pairs(self, pairs: list[tuple[Any, Any]]) -> None:
        with_items(of_kind(dict, self._top()), pairs)

    def _add(self, _: Any) -> None:
        values = self._group()
        of_kind(set, self._top()).update(map(checked_key, values))

    def _put(self, index: int) -> None:
        value = self._top()
        if isinstance(value, Unfinished):
            value.places.append(index)
        self._memo[index] = value

    def _memoize(self, _: Any) -> None:
        self._put(len(self._memo))

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self.find(module, name))

    def _name_of_stack(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(self.find(of_kind(str, module), of_kind(str, name)))

    def _instance(self, argument: str) -> None:
        values = self._group()
        self._name(argument)
        self._call(self._pop(), values, {})

    def _object(self, _: Any) -> None:
        maker, *values = self._group()
        self._call(maker, values, {})

    def _reduce(self, _: Any) -> None:
        values, maker = self._pop(), self._pop()
        self._call(maker, of_kind(tuple, values), {})

    def _reduce_with_names(self, _: Any) -> None:
        names, values, maker = self._pop(), self._pop(), self._pop()
        self._call(maker, of_kind(tuple, values), of_kind(dict, names))

    def _call(self, maker: Any, values: Any, names: dict[str, Any]) -> None:
        self._stack.append(self._counted(of_kind(Maker, maker).make(*values, **names)))

    def _counted(self, value: Any) -> Any:
        """Return a value that was made, after counting the bytes of arrays.

        Each array of an honest pickle has its own bytes in the file.

        Raises: UnpicklingError if all arrays take more bytes than were read of the pickle.
        """
        if isinstance(value, np.ndarray):
            self._array_bytes += value.nbytes
            if self._array_bytes > self._source.bytes_read:
                raise pickle.UnpicklingError("it makes arrays of more bytes than it holds")
        return value

    def _build(self, _: Any) -> None:
        state, value = self._pop(), self._pop()
        if isinstance(value, OrderedDict):
            keep_versions(value, state)
        else:
            places = of_kind(Unfinished, value).places
            value = self._counted(value.finished(state))
            self._memo.update(dict.fromkeys(places, value))
        self._stack.append(value)

    def _persistent_text(self, argument: str) -> None:
        self._stack.append(self.persistent(argument))

    def _persistent_value(self, _: Any) -> None:
        self._stack.append(self.persistent(self._pop()))

    def _nothing(self, _: Any) -> None:
        pass


_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_EMPTY: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_STEPS: dict[str, Callable[[PickleMachine, Any], None]] = {
    "MARK": PickleMachine._mark,
    "POP": PickleMachine._drop,
    "POP_MARK": PickleMachine._drop_group,
    "DUP": PickleMachine._duplicate,
    "LIST": PickleMachine._make_list,
    "TUPLE": PickleMachine._make_tuple,
    "TUPLE1": lambda machine, _: machine._make_short_tuple(1),
    "TUPLE2": lambda machine, _: machine._make_short_tuple(2),
    "TUPLE3": lambda machine, _: machine._make_short_tuple(3),
    "DICT": PickleMachine._make_dict,
    "FROZENSET": PickleMachine._make_frozenset,
    "APPEND": PickleMachine._append,
    "APPENDS": PickleMachine._extend,
    "SETITEM": PickleMachine._set_item,
    "SETITEMS": PickleMachine._set_items,
    "ADDITEMS": PickleMachine._add,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), PickleMachine._put),
    "MEMOIZE": PickleMachine._memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), PickleMachine._get),
    "GLOBAL": PickleMachine._name,
    "STACK_GLOBAL": PickleMachine._name_of_stack,
    "INST": PickleMachine._instance,
    "OBJ": PickleMachine._object,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), PickleMachine._reduce),
    "NEWOBJ_EX": PickleMachine._reduce_with_names,
    "BUILD": PickleMachine._build,
    "PERSID": PickleMachine._persistent_text,
    "BINPERSID": PickleMachine._persistent_value,
    **dict.fromkeys(("PROTO", "FRAME"), PickleMachine._nothing),
}


class _Bounded:
    """Source with a bound on the memory of each read; it counts the bytes read."""

    def __init__(self, source: ByteSource):
        self._source = source
        self.bytes_read = 0

    def read(self, count: int) -> bytes:
        if count > _MAX_STRING_BYTES:
            raise pickle.UnpicklingError(f"it announces a text of {count} bytes")
        return self._count(self._source.read(count))

    def readline(self) -> bytes:
        return self._count(self._source.readline(_MAX_LINE_BYTES))

    def _count(self, content: bytes) -> bytes:
        self.bytes_read += len(content)
        return content
