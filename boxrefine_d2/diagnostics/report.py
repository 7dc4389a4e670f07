"""The findings as a table for a terminal of 100 columns, as JSON, and as one sentence."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import boxrefine_d2

from .data import data_folder
from .fact import BROKEN, MISSING, OK, Fact
from .weights import cache_folder

WIDTH = 100
SECTIONS = {
    "packages": "Required packages",
    "optional": "Optional packages",
    "devices": "Devices",
    "weights": "Weights",
    "data": "Data",
}


def first_fault(facts: Sequence[Fact]) -> Fact | None:
    """The first required part that does not work."""
    return next((fact for fact in facts if fact.required and fact.state != OK), None)


def verdict(facts: Sequence[Fact]) -> str:
    """One sentence: what is wrong first and its remedy, or that all is well."""
    fault = first_fault(facts)
    if fault:
        return f"{fault.name} is {fault.state} ({fault.value}); fix: {fault.fix}"
    lacking = [f.name for f in facts if f.section in ("optional", "devices") and f.state == MISSING]
    broken = [fact.name for fact in facts if fact.state == BROKEN]
    parts = ["ready: all required parts work"]
    if broken:
        parts.append(f"broken: {', '.join(broken)}")
    if lacking:
        parts.append(f"optional, not there: {', '.join(lacking)}")
    return "; ".join(parts)


def to_json(facts: Sequence[Fact]) -> dict[str, Any]:
    """Everything, for a machine."""
    return {
        "version": boxrefine_d2.__version__,
        "ready": first_fault(facts) is None,
        "verdict": verdict(facts),
        "facts": [asdict(fact) for fact in facts],
    }


def to_text(facts: Sequence[Fact]) -> str:
    """The table, one line a fact, the remedies below it, the verdict last."""
    lines = []
    for section, title in SECTIONS.items():
        found = [fact for fact in facts if fact.section == section]
        if found:
            lines += [_headed(section, title), *map(_row, found), ""]
        else:
            lines += [f"{title}: not looked at before the required packages work", ""]
    lines += _remedies(facts)
    return "\n".join([*lines, verdict(facts)])


def _headed(section: str, title: str) -> str:
    if section == "weights":
        return f"{title}, looked for in {cache_folder()}"
    if section == "data":
        return f"{title}, looked for in {data_folder()} (DETECTRON2_DATASETS)"
    return title


def _row(fact: Fact) -> str:
    line = f"  {fact.state:<8} {fact.name:<22} {fact.value}"
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def _remedies(facts: Sequence[Fact]) -> list[str]:
    """What to do about what is missing or broken; weights and data have one sentence for all."""
    lines = []
    for fact in facts:
        if fact.fix and fact.state != OK and fact.section not in ("weights", "data"):
            lines += [f"  {fact.name}: {fact.value}", f"    {fact.fix}"]
    weights = [f for f in facts if f.section == "weights" and f.fix]
    if weights:
        lines.append(
            "  weights: fetched at their first use. By hand: put the file in the folder above, or"
        )
        lines.append(
            "  name it with --weights FILE. Addresses, or pages where a licence is to be accepted:"
        )
        lines += [f"  {address}" for address in dict.fromkeys(fact.fix for fact in weights)]
    if any(f.section == "data" and f.state == MISSING for f in facts):
        lines.append("  data: datasets/README.md says how to lay each out; nothing is fetched")
    return ["What is missing or broken, and what helps", *lines, ""] if lines else []
