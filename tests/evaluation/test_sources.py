"""The names of sources are those of kept files: earlier results must stay readable."""

import ast
import json
from pathlib import Path

import boxrefine_d2
from boxrefine_d2.evaluation import sources

PACKAGE = Path(boxrefine_d2.__file__).parent
KEPT = PACKAGE.parent / "experiments" / "small_world"
NAMES = {value for name, value in vars(sources).items() if name.isupper()}


def test_a_refinement_keeps_the_rule_the_detector_and_the_rule_after():
    """The names in kept files are right: another spelling would break the pages made of them."""
    for data in json.loads((KEPT / "main.json").read_text())["datasets"].values():
        assert set(data["corloc"]) == {"lost", sources.DETECTOR, sources.REFINED}
        gains = {f"{source}_minus_lost" for source in (sources.DETECTOR, sources.REFINED)}
        assert set(data["gain"]) == gains


def test_kept_grounding_results_use_these_sources():
    stages = json.loads((KEPT / "grounding.json").read_text())["seeds"]["0"]["stages"]
    sources_of = {
        stage: {source for data in datasets.values() for source in data["hits"]["box_acc"]}
        for stage, datasets in stages.items()
    }
    assert sources_of["train"] <= NAMES and sources_of["refine"] <= NAMES
    assert {sources.G, sources.CLIP, sources.SHUFFLED} <= sources_of["train"]
    assert {sources.REFINED, sources.DETECTOR} <= sources_of["refine"]


def test_no_other_file_declares_one():
    """A second declaration could change alone; a page would then miss what a run wrote."""
    declared = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for value in (node.value.elts if isinstance(node.value, ast.Tuple) else [node.value])
        if isinstance(value, ast.Constant) and value.value in NAMES
    }
    assert declared == {"evaluation/sources.py"}
