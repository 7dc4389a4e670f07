"""Values, tags and damage of configuration files."""

import random

from .mutation import damaged

VALUES = (
    *(
        "0",
        "-1",
        "1",
        "2",
        "3.7",
        "1e-30",
        "1e30",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "1000000000",
        "10**9",
        "2**63",
    ),
    *(
        "True",
        "False",
        "None",
        "''",
        "' '",
        "()",
        "[]",
        "(0,)",
        "(-1, 1)",
        "(1, 2, 3, 4, 5)",
        "[[]]",
        "((1,),)",
        "{}",
    ),
    *(
        "'x'",
        "('x',)",
        "('x', 'y')",
        "nothing",
        "cpu",
        "cuda",
        "cuda:99",
        "mps",
        "meta",
        "random",
        "random:0",
        "random:-1",
    ),
    *(
        "/",
        "/dev/null",
        "/dev/zero",
        "/proc/x",
        "../x",
        "~",
        "~/x",
        "'a\\x00b'",
        "é\udce9",
        "x" * 300,
        "/" + "y/" * 3000,
    ),
    *(
        "scenes:val",
        "('scenes:val',)",
        "('folder:/nowhere',)",
        "('scenes:train+first=0',)",
        "('',)",
        "(1,)",
        "(None,)",
    ),
    *(
        "lambda: 0",
        "__import__('os')",
        "{'a': 1}",
        "{'a': {}}",
        "\n",
        "'",
        "(",
        "[",
        "0x10",
        "1_000",
        "1" * 5000,
    ),
    *(
        "WarmupMultiStepLR",
        "WarmupCosineLR",
        "BN",
        "SyncBN",
        "GN",
        "FrozenBN",
        "choice",
        "range",
        "relative_range",
    ),
)
TAGS = (
    "!!python/object/apply:os.system ['touch {mark}']",
    "!!python/object/new:os.system ['touch {mark}']",
    "!!python/object/apply:subprocess.check_call [['touch', '{mark}']]",
    "!!python/object/new:type "
    "{{args: ['x', !!python/tuple [], {{'__init__': !!python/name:os.system ''}}]}}",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    "!!python/tuple [1, 2]",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {mark}']",
    '!!python/object/apply:builtins.eval [\'open("{mark}", "w")\']',
    "!custom x",
    "!!binary bm90aGluZw==",
    "!!set {{a, b}}",
    "!!timestamp 2001-12-14",
    "!!int x",
)


def damaged_yaml(text: str, draw: random.Random) -> bytes:
    """Return a YAML text with a damaged line or damaged bytes."""
    if draw.random() < 0.25:
        return damaged(text.encode(), draw)
    return damaged_lines(text.splitlines(keepends=True), draw).encode("utf-8", "surrogateescape")


def damaged_lines(lines: list[str], draw: random.Random) -> str:
    """Return the lines with one damaged line.

    The line gets another value, another form, aliases that multiply, or a nesting of 20 000 levels.
    """
    place = draw.randrange(len(lines))
    head, colon, _ = lines[place].partition(": ")
    way = draw.random()
    if way < 0.6 and colon:
        lines[place] = f"{head}: {draw.choice(VALUES)}\n"
    elif way < 0.8:
        starts = ("\t", "  ", "- ", "&a [*a]\n", "<<: *x\n", "? ", "---\n", "%YAML 9.9\n")
        lines[place] = draw.choice(starts) + lines[place]
    elif way < 0.95:
        many = "".join(
            f"b{i}: &b{i} [{','.join([f'*b{i - 1}' if i else 'x'] * 9)}]\n" for i in range(9)
        )
        lines[place] = many + lines[place]
    else:
        lines[place] = "[" * 20_000
    return "".join(lines)
