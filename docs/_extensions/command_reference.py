"""The reference page of all commands, generated from their parsers."""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from textwrap import indent, wrap

from boxrefine_d2.cli import VERBS

_WIDTH = 88  # characters in a line of code on a page


def command_reference() -> str:
    """Return Markdown with a section per verb: usage, description, options, examples."""
    parts = []
    for verb, (module, _) in VERBS.items():
        parser = import_module(f"boxrefine_d2.cli.{module}").parser()
        parser.prog = f"boxrefine {verb}"
        parts += _section(parser, "##")
        for words, child in _subcommands(parser):
            child.prog = f"boxrefine {verb} {words}"
            parts += _section(child, "###")
    return "\n\n".join(parts) + "\n"


def _section(parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    yield f"{level} {parser.prog}"
    yield (parser.description or "").strip()
    formatter = parser.formatter_class(parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, "")
    usage = _without_indent(formatter.format_help())
    yield f"```text\n{indent(usage, '    ').strip()}\n```"
    yield f"```{{program}} {parser.prog}\n```"
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            yield _option(parser, action)
    examples = (parser.epilog or "").removeprefix("examples:\n")
    if examples:
        commands = map(_in_lines, _without_indent(examples).splitlines())
        yield "```sh\n{}\n```".format("\n".join(commands))


def _subcommands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    values = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    if action.option_strings:
        name = " ".join([*action.option_strings[-1:], values]).strip()
    else:
        name = action.metavar or action.dest
    text = " ".join(formatter._expand_help(action).split()).rstrip(".") if action.help else ""
    facts = ["required"] if action.option_strings and action.required else []
    if _has_default(action) and "default" not in text:
        facts.append(f"default: `{action.default}`")
    return f"````{{option}} {name}\n{'; '.join([text, *facts] if text else facts)}\n````"


def _has_default(action: argparse.Action) -> bool:
    nothing = (None, False, "", [], argparse.SUPPRESS)
    return bool(action.option_strings) and action.default not in nothing


def _in_lines(command: str) -> str:
    """Wrap a command with backslashes; a flag and its value stay on one line."""
    glued = re.sub(r"(--[\w-]+) (?!-)", "\\1\0", command)
    lines = wrap(glued, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return " \\\n".join(lines).replace("\0", " ")


def _without_indent(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())
