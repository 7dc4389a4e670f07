"""Traced walks of docs/design/architecture.md: few files to open, and no calls back up."""

import ast
import inspect
import textwrap

import pytest

from boxrefine_d2.grounding.grounding_refiner import GroundingRefiner
from boxrefine_d2.refinement import BoxRefiner
from tests.design.routes import ROUTES
from tests.design.walks import leaf

STEPS = ("step of f", "step of h on f", "step of regions on f", "step of g", "step of h on g")
REFINERS = {"f": "refinement/box_refiner.py", "g": "grounding/grounding_refiner.py"}


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    return {name: route(tmp_path_factory.mktemp("walk")) for name, route in ROUTES.items()}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_needs_four_files_without_climbs(walks, name):
    walk = walks[name]
    assert walk.spine[0] == "training/loop.py" and REFINERS[name[-1]] in walk.spine
    assert len(walk.spine) <= 4, walk
    assert not walk.climbs, walk


@pytest.mark.parametrize("name", ["step of f", "step of h on f", "step of regions on f"])
def test_a_step_enters_the_refiner_of_boxes_once(walks, name):
    assert walks[name].entries[REFINERS["f"]] == 1, walks[name]


def test_the_walk_of_an_image_to_its_boxes_needs_nine_files(walks):
    walk = walks["image → box"]
    assert walk.spine[0] == "pseudo_labels/one_image.py"
    assert len(walk.spine) <= 9, walk
    assert not walk.climbs, walk


def test_the_tracer_sees_a_climb(walks):
    """The heatmap model calls its subclass for networks; `queries` calls the drawing closure."""
    assert walks["phrase → record"].climbs == [
        ("grounding/heatmap_model.py", "grounding/grounding_refiner.py"),
        ("grounding/queries.py", "grounding/heatmap_model.py"),
    ]


@pytest.mark.parametrize("name", ROUTES)
def test_a_walk_opens_leaves_and_its_spine_has_none(walks, name):
    walk = walks[name]
    assert set(walk.spine) < set(walk.opened)
    assert not [file for file in walk.spine if leaf(file)]


@pytest.mark.parametrize("refiner", [BoxRefiner, GroundingRefiner])
def test_the_algorithm_is_fifteen_lines(refiner):
    source = textwrap.dedent(inspect.getsource(refiner.forward))
    _docstring, *body = ast.parse(source).body[0].body
    assert body[-1].end_lineno - body[0].lineno + 1 <= 15
