"""The site of `make docs` builds without a warning and shows the current code."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

import boxrefine_d2.structures
from boxrefine_d2.cli import VERBS

DOCS = Path(__file__).parents[2] / "docs"
TAG = re.compile(r"<[^>]*>")

pytest.importorskip("furo")
pytest.importorskip("myst_parser")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
    words = ["-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "html"


def text_of(site: Path, page: str) -> str:
    """Return the text of a page without the sidebar."""
    html = (site / f"{page}.html").read_text(encoding="utf-8")
    article = html[html.index('<article role="main"') : html.index("</article>")]
    return " ".join(unescape(TAG.sub("", article)).replace("¶", "").split())


def test_every_verb_is_in_the_reference_of_commands(site):
    text = text_of(site, "reference/cli")
    assert [verb for verb in VERBS if f"boxrefine {verb}" not in text] == []
    assert "boxrefine edit merge" in text
    assert re.search(r"--max-iou IOU [^-]*; default: 0\.5", text)
    assert "--method METHOD discovery rule: absorption, contours, dino_seg" in text


def test_the_python_reference_has_the_names_that_a_room_offers(site):
    html = (site / "reference/api.html").read_text(encoding="utf-8")
    names = boxrefine_d2.structures.__all__
    assert [x for x in names if f'id="boxrefine_d2.structures.{x}"' not in html] == []
    assert "input_size – (H, W) of that input; boxes lie inside it." in text_of(
        site, "reference/api"
    )


def test_the_five_contracts_have_entries_and_the_architecture_page_links_them(site):
    html = (site / "reference/contracts.html").read_text(encoding="utf-8")
    names = (
        "discovery.rule.DiscoveryRule",
        "networks.map_network.MapNetwork",
        "refinement.phased_refiner.PhasedRefiner",
        "networks.build_network.build_network",
        "training.jobs.register_job",
    )
    architecture = (site / "design/architecture.html").read_text(encoding="utf-8")
    for name in names:
        assert f'id="boxrefine_d2.{name}"' in html
        assert f'href="../reference/contracts.html#boxrefine_d2.{name}"' in architecture


def test_the_reference_of_configuration_shows_keys(site):
    text = text_of(site, "reference/config")
    assert "PRESERVATION_WEIGHT" in text and "WARMUP_ITERS" in text


def test_pages_show_files_from_outside(site):
    assert "boxrefine_d2 downloads no data set" in text_of(site, "reference/data_sets")
    cards = text_of(site, "reference/shipped_networks")
    assert [
        x for x in ("dino_mini", "found_mini", "resnet_mini", "clip_mini") if x not in cards
    ] == []
