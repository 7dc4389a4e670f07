import pytest

from boxrefine_d2.diagnostics import (
    BROKEN,
    MISSING,
    OK,
    Finding,
    first_fault,
    to_json,
    to_text,
    verdict,
)

FINDINGS = [
    Finding("packages", "torch", OK, "2.11.0", required=True),
    Finding("optional", "lightly", MISSING, "not installed; for training", "pip install lightly"),
    Finding("devices", "CPU", OK, "A CPU"),
    Finding("weights", "dino_vits16", MISSING, "dino.pth", "https://host/dino.pth"),
    Finding("data", "coco20k", MISSING, "coco is not there", "see datasets/README.md"),
]
BAD = Finding("packages", "timm", BROKEN, "ImportError: " + "x" * 200, "pip install timm", True)


def test_each_finding_is_a_line_within_the_width_and_the_verdict_is_last():
    lines = to_text([*FINDINGS, BAD]).splitlines()
    assert "  ok       torch                  2.11.0" in lines
    assert "  missing  lightly                not installed; for training" in lines
    row = next(line for line in lines if line.startswith("  broken   timm"))
    assert len(row) == 100 and row.endswith("...")
    assert lines[-1].startswith("timm is broken (ImportError: xxx")


def test_remedies_name_the_part_and_the_command():
    text = to_text(FINDINGS)
    after = text.partition("what helps\n")[2]
    assert after.startswith("  lightly: not installed; for training\n    pip install lightly\n")
    assert "\n  https://host/dino.pth\n" in after
    assert "datasets/README.md" in after
    assert text.splitlines()[-1] == ("ready: all required parts work; optional, missing: lightly")


def test_no_remedies_are_printed_if_everything_works():
    assert "what helps" not in to_text([FINDINGS[0]])


def test_sections_that_were_not_checked_are_named():
    assert "Weights: not checked until the required packages work" in to_text([BAD])


@pytest.mark.parametrize("broken", [False, True])
def test_json_holds_every_finding(broken):
    findings = [*FINDINGS, BAD] if broken else FINDINGS
    content = to_json(findings)
    assert content["ready"] is not broken
    assert content["verdict"] == verdict(findings)
    assert content["facts"][3]["fix"] == "https://host/dino.pth"
    assert len(content["facts"]) == len(findings)


def test_the_first_fault_is_a_required_one():
    assert first_fault([FINDINGS[1], BAD]) is BAD
    optional = Finding("optional", "opencv", BROKEN, "two of them", "pip uninstall one")
    assert first_fault([*FINDINGS, optional]) is None
    assert "broken: opencv" in verdict([*FINDINGS, optional])
