"""Damaged and hostile configuration files, and KEY VALUE pairs that are invalid for any key.

All of them are seeded, and this module does not need pytest.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.config.checks import leaves

# Forms of code in YAML. Each of them would make the file {mark}.
CODE = {
    "apply": "!!python/object/apply:os.system ['touch {mark}']",
    "apply_below": "SOLVER: {{BASE_LR: !!python/object/apply:os.system ['touch {mark}']}}",
    "apply_in_a_list": "DATASETS:\n  TRAIN: [a, !!python/object/apply:os.system ['touch {mark}']]",
    "apply_as_a_key": "!!python/object/apply:os.system ['touch {mark}']: 1",
    "new": "SEED: !!python/object/new:subprocess.Popen [[touch, '{mark}']]",
    "new_with_state": (
        "SEED: !!python/object/new:type {{args: [x, !!python/tuple [], {{}}], state: 1}}"
    ),
    "object": "SEED: !!python/object:os.PathLike {{}}",
    "name": "SEED: !!python/name:os.system ''",
    "module": "SEED: !!python/module:os ''",
    "verbatim": "SEED: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch {mark}']",
    "by_directive": (
        "%TAG ! tag:yaml.org,2002:python/object/apply:\n---\nSEED: !os.system ['touch {mark}']"
    ),
    "unknown": "SEED: !mine x",
}

_LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
)
_MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 30)
)

DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "only a comment": b"# nothing\n",
    "null": b"null",
    "a number": b"3",
    "a text": b"lost_refine",
    "a list": b"- SEED: 1",
    "a section that is a list": b"SOLVER: [1, 2]",
    "a section that is null": b"SOLVER:",
    "a section that is text": b"MODEL: x",
    "a section that is a number": b"MODEL: {MAP_NETWORK: 7}",
    "a key that is a section": b"SEED: {A: 1}",
    "a key that is a number": b"1: 2",
    "a key below that is a number": b"SOLVER: {1: 2}",
    "a key that is null": b"null: 1",
    "a key that is a list": b"? [a, b]\n: 1",
    "a key twice": b"SEED: 1\nSEED: 2",
    "a section twice": b"SOLVER: {MAX_ITER: 1}\nSOLVER: {GAMMA: 0.1}",
    "an unknown key": b"SEEED: 1",
    "an unknown key below": b"SOLVER: {BASE_LRR: 1.0}",
    "an unknown section": b"MODELS: {A: 1}",
    "text for a number": b"SEED: many",
    "a number for a text": b"MODEL: {WEIGHTS: [1]}",
    "a number for a switch": b"MODEL: {MASK_ON: 1}",
    "null for a number": b"SOLVER: {BASE_LR: null}",
    "a date": b"SOLVER: {BASE_LR: 2001-01-01}",
    "bytes": b"OUTPUT_DIR: !!binary aGk=",
    "a set": b"DATASETS: {TRAIN: !!set {a, b}}",
    "infinity": b"SOLVER: {BASE_LR: .inf}",
    "not a number": b"SOLVER: {BASE_LR: .nan}",
    "digits without end": b"SEED: " + b"9" * 5000,
    "hexadecimal digits without end": b"SEED: 0x" + b"f" * 90_000,
    "sixties without end": b"SEED: 1" + b":1" * 50_000,
    "a tag that does not fit": b"SEED: !!timestamp x",
    "another tag that does not fit": b"SEED: !!bool x",
    "a number that is none": b"SEED: !!int ''",
    "laughs": _LAUGHS.encode(),
    "merges": _MERGES.encode(),
    "a part of itself": b"MODEL: &m {MAP_NETWORK: *m}",
    "an unknown alias": b"SEED: *x",
    "deep lists": b"SEED: " + b"[" * 3_000,
    "deep mappings": b"{a: " * 5_000,
    "rather deep": b"SEED: " + b"[" * 70 + b"]" * 70,
    "deep text": b"SEED: '" + b"(" * 30_000 + b"'",
    "signs without end": b"SEED: '" + b"-" * 90_000 + b"1'",
    "cut short": b"SOLVER: {MAX_ITER: 1",
    "a quote without end": b"OUTPUT_DIR: 'x",
    "two documents": b"SEED: 1\n---\nSEED: 2",
    "tabs": b"SOLVER:\n\tMAX_ITER: 1",
    "a wrong version of YAML": b"%YAML 9.9\n---\nSEED: 1",
    "another VERSION": b"VERSION: 1",
    "a VERSION that is text": b"VERSION: two",
    "NUL": b"SEED: 1\0",
    "NUL alone": b"\0" * 1000,
    "a NUL in a text": b'OUTPUT_DIR: "a\\0b"',
    "UTF-16 without a mark": "SEED: 1".encode("utf-16-le"),
    "UTF-32": "SEED: 1".encode("utf-32"),
    "Latin-1": "OUTPUT_DIR: café".encode("latin-1"),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "control characters": b"SEED: \x07",
    "an HTML page": b"<!DOCTYPE html><title>Sign in: now</title>",
    "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "too large": b"# " + b"x" * 300_000 + b"\nSEED: 1",
    "a base that is missing": b"_BASE_: nowhere.yaml",
    "a base that is a number": b"_BASE_: 3",
    "a base that is null": b"_BASE_:",
    "a base that is a mapping": b"_BASE_: {a: b}",
    "a base that is a list of lists": b"_BASE_: [[a]]",
    "a base that is a folder": b"_BASE_: .",
    "a base that is a device": b"_BASE_: /dev/zero",
    "a base at an address": b"_BASE_: https://example.org/a.yaml",
    "a base with a NUL": b'_BASE_: "a\\0b"',
    "a base with a long name": b"_BASE_: " + b"x" * 5000,
    "a base below": b"SOLVER: {_BASE_: x.yaml}",
}


def write_damaged(folder: Path) -> dict[str, Path]:
    """Make the files of `DAMAGED`, and those with more than one file or of a special kind.

    Returns: name -> path.
    """
    made = {}
    for number, (name, content) in enumerate(DAMAGED.items()):
        made[name] = folder / f"{number}.yaml"
        made[name].write_bytes(content)
    for name, content in {
        "its own base": "_BASE_: its own base.yaml",
        "the base of its base": "_BASE_: other.yaml",
        "other": "_BASE_: ./the base of its base.yaml",
        "many bases": f"_BASE_: [{', '.join(['wide.yaml'] * 40)}]",
        "wide": f"_BASE_: [{', '.join(['narrow.yaml'] * 40)}]",
        "narrow": "SEED: 1",
        "a base that is a pipe": "_BASE_: a pipe.yaml",
        "code in a base": "_BASE_: code.yaml",
        "code": "SEED: !!python/object/apply:os.getpid []",
    }.items():
        made[name] = folder / f"{name}.yaml"
        made[name].write_text(content)
    for name in ("a folder", "a pipe", "a sparse file", "a loop"):
        made[name] = folder / f"{name}.yaml"
    made["a folder"].mkdir()
    os.mkfifo(made["a pipe"])
    with open(made["a sparse file"], "wb") as file:
        file.truncate(3 * 2**30)
    made["a loop"].symlink_to("a loop.yaml")
    del made["narrow"], made["wide"]  # these two are valid
    return made


def mutated(text: str, seed: int, count: int) -> Iterator[bytes]:
    """Yield a text with seeded faults.

    Bytes are changed, removed or inserted; lines are repeated, indented or lost.
    """
    rng = random.Random(seed)
    signs = [b"\0", b"\t", b":", b"[", b"{", b"&a ", b"*a", b"!!", b"- ", b"'", b"\xff", b"9" * 400]
    for _ in range(count):
        content = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(content) or 1)
            fault = rng.randrange(4)
            if fault == 0:
                content[place : place + rng.randint(1, 20)] = b""
            elif fault == 1:
                content[place:place] = rng.choice(signs)
            elif fault == 2 and content:
                content[place % len(content)] ^= 1 << rng.randrange(8)
            else:
                lines = bytes(content).split(b"\n")
                at = rng.randrange(len(lines))
                lines[at : at + 1] = rng.choice(
                    ([], [lines[at]] * 2, [b"  " + lines[at]], [lines[at].lstrip()])
                )
                content = bytearray(b"\n".join(lines))
        yield bytes(content)


# values that are invalid for a key of any type
IMPOSSIBLE = (
    "9" * 5000,
    "1e999",
    "-1e999",
    "(1e999,)",
    "{'a': 1}",
    "{1, 2}",
    "b'x'",
    "1j",
    "[" * 30_000,
    "-" * 90_000 + "1",
)
# values that are valid for some keys
DOUBTFUL = (
    *("", "0", "-1", "1", "2", "3", "0.0", "-1.0", "0.5", "1.5", "1e9", "1000000000", "nan", "inf"),
    *("None", "True", "x", "()", "[]", "(0,)", "(-1,)", "(1, 2)", "(2, 1)", "(0.5, 0.5)"),
    "(1, 2, 3)",
    *("('x',)", "((1, 2),)", "((),)", "[[]]", "('',)", "../x", "~/x", "\x07", "é", "\udce9"),
)  # fmt: skip


def keys() -> list[str]:
    """Return every key of the configuration."""
    return [key for key, _ in leaves(boxrefine_cfg())]


def bad_pairs(seed: int, each: int) -> Iterator[tuple[str, str]]:
    """Yield seeded KEY VALUE pairs, `each` per key, whose values may be invalid for the key."""
    rng = random.Random(seed)
    for key in keys():
        for value in rng.sample(IMPOSSIBLE + DOUBTFUL, each):
            yield key, value


def bad_words() -> Iterator[list[str]]:
    """Yield words of a command line that are not KEY VALUE pairs."""
    yield ["SEED"]
    yield ["SEED", "1", "SOLVER.MAX_ITER"]
    yield ["SOLVER", "1"]
    yield ["MODEL.MAP_NETWORK", "{'NAME': 'x'}"]
    keys_that_do_not_exist = (
        *("", ".", "SEED.", ".SEED", "SEED.X", "SOLVER..MAX_ITER", "NO", "SOLVER.NO"),
        *("\0", "x" * 90_000, "\udce9"),
    )
    for key in keys_that_do_not_exist:
        yield [key, "1"]
    yield ["_BASE_", "configs/lost_refine.yaml"]
    yield ["VERSION", "1"]
