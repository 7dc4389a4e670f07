"""Report of the findings: a table for a terminal of 100 columns, JSON, and one sentence."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import boxrefine_d2

from .data import data_folder
from .finding import BROKEN, MISSING, OK, Finding
from .weights import cache_folder

WIDTH = 100
SECTIONS = {
    "packages": "Required packages",
    "optional": "Optional packages",
    "devices": "Devices",
    "weights": "Weights",
    "data": "Data",
}


def first_fault(findings: Sequence[Finding]) -> Finding | None:
    """Return the first required part that does not work; None if all work."""
    return next((finding for finding in findings if finding.required and finding.state != OK), None)


def verdict(findings: Sequence[Finding]) -> str:
    """Return one sentence: the first fault with its remedy, or that all required parts work."""
    fault = first_fault(findings)
    if fault:
        return f"{fault.name} is {fault.state} ({fault.value}); fix: {fault.fix}"
    lacking = [
        f.name for f in findings if f.section in ("optional", "devices") and f.state == MISSING
    ]
    broken = [finding.name for finding in findings if finding.state == BROKEN]
    parts = ["ready: all required parts work"]
    if broken:
        parts.append(f"broken: {', '.join(broken)}")
    if lacking:
        parts.append(f"optional, missing: {', '.join(lacking)}")
    return "; ".join(parts)


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return all findings as plain values for JSON."""
    return {
        "version": boxrefine_d2.__version__,
        "ready": first_fault(findings) is None,
        "verdict": verdict(findings),
        "facts": [asdict(finding) for finding in findings],
    }


def to_text(findings: Sequence[Finding]) -> str:
    """Return the table with one line per finding, then the remedies, then the verdict."""
    lines = []
    for section, title in SECTIONS.items():
        of_section = [finding for finding in findings if finding.section == section]
        if of_section:
            width = max(22, *(len(finding.name) for finding in of_section))
            rows = [_row(finding, width) for finding in of_section]
            lines += [_headed(section, title), *rows, ""]
        else:
            lines += [f"{title}: not checked until the required packages work", ""]
    lines += _remedies(findings)
    return "\n".join([*lines, verdict(findings)])


def _headed(section: str, title: str) -> str:
    if section == "weights":
        return f"{title}, searched in {cache_folder()}"
    if section == "data":
        return f"{title}, searched in {data_folder()} (DETECTRON2_DATASETS)"
    return title


def _row(finding: Finding, width: int) -> str:
    line = f"  {finding.state:<8} {finding.name:<{width}} {finding.value}"
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def _remedies(findings: Sequence[Finding]) -> list[str]:
    """Return the remedies of missing or broken parts; weights and data share one sentence each."""
    lines = []
    for finding in findings:
        if finding.fix and finding.state != OK and finding.section not in ("weights", "data"):
            lines += [f"  {finding.name}: {finding.value}", f"    {finding.fix}"]
    weights = [f for f in findings if f.section == "weights" and f.fix]
    if weights:
        lines.append(
            "  weights: fetched at their first use. By hand: put the file in the folder above, or"
        )
        lines.append(
            "  name it with --weights FILE. Addresses, or pages where a licence is to be accepted:"
        )
        lines += [f"  {address}" for address in dict.fromkeys(finding.fix for finding in weights)]
    if any(f.section == "data" and f.state == MISSING for f in findings):
        lines.append("  data: datasets/README.md says how to lay each out; nothing is fetched")
    return ["What is missing or broken, and what helps", *lines, ""] if lines else []
