"""Whole localisations of a folder of class folders: each source, killed and continued, refused."""

import json
import shutil
import textwrap
from pathlib import Path

import pytest

from boxrefine_d2.cli import evaluate, localize
from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.localization.plan import SOURCES
from tests.localization.class_folders import class_folders
from tests.report.parsed_page import Page

TOOLS = Path(__file__).parents[2] / "tools"
VOID = {"meta", "image", "rect", "line", "polyline", "circle", "path"}
NAMES = ("blue", "red")
SHORT = [
    *("iterations=2", "num_workers=0", "shown=3", "MODEL.CLASSIFIER.TRUNK=resnet_mini"),
    *("INPUT.CLASSIFIED.RESIZE=32", "INPUT.CLASSIFIED.CROP=32", "INPUT.CLASSIFIED.TEST_RESIZE=32"),
    *("WEIGHT_MAP.CHECK_PERIOD=1", "DISCOVERY.SGRM.STEPS=2", "DISCOVERY.ARM.STEPS=2"),
]


def run(data, output, source="cam", *more, tools=TOOLS):
    words = ["--data", str(data), "--output", str(output), "--source", source, "--device", "cpu"]
    return localize.main([*words, "--set", *SHORT, *more], tools)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the spec of a folder of class folders with boxes."""
    return f"classes:{class_folders(tmp_path_factory.mktemp('images') / 'classes', NAMES, 5)}"


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """Return the output directory of an uninterrupted localisation by the weight map."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    assert run(folders, folder, "weight_map") == 0
    return folder


def test_class_folders_get_boxes_maps_and_a_page(finished, folders, tmp_path):
    stages = {path.name for path in finished.iterdir() if path.is_dir()}
    assert stages == {"classifier", "weight_map", "result", ".stages"}
    labels = read_pseudo_labels(finished / "result/boxes.json")
    assert [each["name"] for each in labels.categories] == list(NAMES)
    of_image = {record["image_id"]: record["image_label"] for record in load_spec(folders).records}
    ids = [each["id"] for each in labels.categories]
    for label in labels.annotations:
        assert ids.index(label["category_id"]) == of_image[label["image_id"]]
        assert label["segmentation"] and label["bbox"][2] > 0
    scores = tmp_path / "scores.json"
    words = ["--gt", folders, "--pred", str(finished / "result/localization.json")]
    words += ["--metrics", "gt_known,maxboxacc_v2,top1_cls", "--json", str(scores)]
    assert evaluate.main(words) == 0
    results = json.loads((finished / "weight_map/results.json").read_text())
    found = results["datasets"][folders]["weight_map"]
    scored = json.loads(scores.read_text())
    assert scored["images_evaluated"] == 10
    assert {name: scored[name] for name in ("gt_known", "maxboxacc_v2", "top1_cls")} == {
        name: found[name] for name in ("gt_known", "maxboxacc_v2", "top1_cls")
    }


def test_the_page_shows_maps_checks_and_accuracy(finished):
    text = (finished / "result/report.html").read_text(encoding="utf-8")
    page = Page(text, VOID)
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert sections == ["next", "images", "accuracy", "checks", "settings"]
    assert "10 images of 2 classes have a box and a mask each" in page.text
    assert page.count("article", "card") == 3
    assert page.count("image", "photo") == 3 and page.count("image", "cells") == 6
    assert "weight_map: IoU" in page.text and "cam, bright=0.3: IoU" in page.text
    assert "of 1 images that it did not learn from" in page.text
    assert "S less the area of the box" in page.text
    kept = json.loads((finished / "weight_map/results.json").read_text())["record"]
    assert f"The network of iteration {kept['kept_iteration']} is kept" in page.text


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"weight_map"}))
def test_each_source_ends_with_a_page(source, folders, tmp_path):
    assert run(folders, tmp_path / "out", source) == 0
    page = Page((tmp_path / "out/result/report.html").read_text(encoding="utf-8"), VOID)
    assert page.count("article", "card") == 3
    assert ("discover --method" in page.text) == (source in ("cam", "lcar"))
    assert len(read_pseudo_labels(tmp_path / "out/result/boxes.json").annotations) == 10


def test_images_without_boxes_get_a_page_without_accuracy(folders, tmp_path):
    plain = tmp_path / "classes"
    shutil.copytree(folders.removeprefix("classes:"), plain)
    (plain / "annotations.json").unlink()
    (plain / NAMES[0] / "broken.png").write_bytes(b"no image")
    assert run(f"classes:{plain}", tmp_path / "out") == 0
    page = Page((tmp_path / "out/result/report.html").read_text(encoding="utf-8"), VOID)
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert sections == ["next", "images", "failed", "settings"]
    assert "1 of 11 images has no box" in page.text and "blue/broken.png" in page.text


def test_the_same_command_again_runs_nothing_and_another_one_is_refused(finished, folders, capfd):
    assert run(folders, finished, "weight_map") == 0
    assert capfd.readouterr().out.count("done before") == 3
    assert run(folders, finished, "weight_map", "seed=5") == 2
    assert "name another --output" in capfd.readouterr().err
    assert run(folders, finished, "cam") == 2
    assert "source was 'weight_map' and is now 'cam'" in capfd.readouterr().err


def test_killed_at_two_stages_and_continued_it_gives_the_same_bytes(
    finished, folders, tmp_path, capfd
):
    tools = tmp_path / "tools"
    tools.mkdir()
    for path in TOOLS.glob("*.py"):
        shutil.copy(path, tools)
    for name, first in (("train_net", True), ("localize_result", False)):
        script = f"""
            import os, pathlib, signal, sys

            from boxrefine_d2.cli.{name} import main

            mark = pathlib.Path(__file__).with_suffix(".died")
            again = mark.exists()
            mark.touch()
            if {first} and not again:
                os.kill(os.getpid(), signal.SIGKILL)
            code = main()
            if not again:
                os.kill(os.getpid(), signal.SIGKILL)
            sys.exit(code)
            """
        (tools / f"{name}.py").write_text(textwrap.dedent(script))
    output = tmp_path / "out"
    codes = [run(folders, output, "weight_map", tools=tools) for _ in range(3)]
    assert codes == [128 + 9, 128 + 9, 0]
    names = ("boxes.json", "localization.json")
    for name in (*(f"result/{each}" for each in names), "weight_map/weight_map.safetensors"):
        assert (output / name).stat().st_size, name
    ours, theirs = (
        [label["bbox"] for label in read_pseudo_labels(each / "result/boxes.json").annotations]
        for each in (output, finished)
    )
    assert ours == theirs
    maps = [path.relative_to(output) for path in output.glob("weight_map/inference/*/*/maps/*")]
    assert len(maps) == 20
    for path in maps:
        assert (output / path).read_bytes() == (finished / path).read_bytes(), path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source", "gradcam"], "--source 'gradcam' is unknown; known: cam, weight_map, lcar"),
        (["--set", "iters=3"], "--set iters is unknown; known: iterations, shown"),
        (["--set", "SEED=3"], "--set SEED is set by the stages"),
        (["--set", "iterations=-1"], "iterations=-1: it must be"),
        (["--set", "SOLVER.BASE_RATE=1"], "SOLVER.BASE_RATE"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--data", "classes:/nowhere"], "image folder '/nowhere' does not exist"),
        (["--data", "scenes:train+first=7"], "of 7 images have no class; put each image into"),
        (["--data", "kinds:train+first=1"], "one class, and two are needed"),
    ],
)
def test_a_mistake_is_one_line_and_makes_no_folder(words, message, tmp_path, capsys):
    base = {"--data": "kinds:train+first=9", "--output": str(tmp_path / "out")}
    base |= dict(zip(words[::2], words[1::2], strict=True))
    assert localize.main([word for pair in base.items() for word in pair]) == 2
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "out").exists()
