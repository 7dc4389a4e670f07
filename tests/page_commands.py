"""Fenced blocks of the pages for readers, and the commands in them, for tests of several rooms."""

import re
import shlex
from pathlib import Path

from boxrefine_d2.cli import VERBS

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# variables, then torchrun, may come first
START = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:torchrun .*?--no-python )?(boxrefine|python tools/\S+) ")


def blocks_of(page: Path, *languages: str) -> list[str]:
    """Return the text of a page's blocks in some languages, in order; "" is no language."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def lines_of(page: Path) -> list[str]:
    """Return the lines of a page's blocks of commands; a command is one line."""
    return "".join(blocks_of(page, "", "sh")).replace("\\\n", " ").splitlines()


def commands_of(page: Path) -> list[tuple[str, list[str]]]:
    """Return the verb and the words of each command of this package on a page."""
    commands = []
    for line in lines_of(page):
        start = START.match(line)
        if not start:
            continue
        words = shlex.split(line[start.end() :], comments=True)
        if start[1] == "boxrefine":
            length = 2 if " ".join(words[:2]) in VERBS else 1
            commands.append((" ".join(words[:length]), words[length:]))
        else:
            commands.append((verb_of_script(start[1].split()[1]), words))
    return commands


def verb_of_script(path: str) -> str:
    """Return the verb that a script of tools/ runs."""
    (verb,) = [verb for verb, (module, _) in VERBS.items() if module == Path(path).stem]
    return verb
