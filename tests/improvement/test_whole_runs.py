"""Whole improvements of a folder without labels: uninterrupted, killed and continued, refused."""

import json
import shutil
import textwrap
from pathlib import Path

import pytest

from boxrefine_d2.cli import improve

TOOLS = Path(__file__).parents[2] / "tools"
SHORT = ["refine_iters=2", "batch_size=2", "detector=false", "num_workers=0", "shown=2"]
SHORT += ["REFINE.RECORD_IMAGES=2", "REFINE.DRIFT.PERIOD=1"]
SHORT += ["REFINE.DRIFT.IMAGES=2", "INPUT.SQUARE_SIZE=64"]


def run(spec, output, *more, tools=TOOLS):
    words = ["--data", spec, "--output", str(output), "--backbone", "dino_mini", "--device", "cpu"]
    return improve.main([*words, "--set", *SHORT, *more], tools)


@pytest.fixture(scope="module")
def finished(rendered, tmp_path_factory):
    """Return the output directory of an uninterrupted improvement."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    assert run(f"folder:{rendered}", folder) == 0
    return folder


def test_a_folder_without_labels_gets_boxes_a_verdict_and_a_page(finished, rendered):
    assert {path.name for path in finished.iterdir() if path.is_dir()} == {
        *("before", "targets", "refine", "network", "after", "verdict", "page", ".stages")
    }
    verdict = json.loads((finished / "verdict/verdict.json").read_text())
    assert verdict["images"] == verdict["images_measured"] == 10
    assert [found["labels"] for found in verdict["rounds"]] == [None]
    assert len(verdict["rounds"][0]["checks"]) > 1
    chosen = finished / ("after" if verdict["improved"] else "before") / "boxes.json"
    assert (finished / "verdict/boxes.json").read_bytes() == chosen.read_bytes()
    page = (finished / "page/report.html").read_text()
    assert "Are the boxes better?" in page and "Accuracy by your labels" not in page


def test_the_same_command_again_runs_nothing_and_another_one_is_refused(finished, rendered, capfd):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.json")}
    assert run(f"folder:{rendered}", finished) == 0
    assert capfd.readouterr().out.count("done before") == 7
    assert run(f"folder:{rendered}", finished, "seed=5") == 2
    assert "name another --output" in capfd.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in finished.rglob("*.json")}
    changed = {path.name for path in before if before[path] != after[path]}
    assert before.keys() == after.keys() and changed <= {"improve.json"}


@pytest.fixture
def fragile_tools(tmp_path):
    """Return tools of which train_net.py dies at its start, and the verdict at its end, once."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for path in TOOLS.glob("*.py"):
        shutil.copy(path, folder)
    for name, first in (("train_net", True), ("improve_verdict", False)):
        die = "os.kill(os.getpid(), signal.SIGKILL)"
        script = f"""
            import os, pathlib, signal, sys

            from boxrefine_d2.cli.{name} import main

            mark = pathlib.Path(__file__).with_suffix(".died")
            again = mark.exists()
            mark.touch()
            if {first} and not again:
                {die}
            code = main()
            if not again:
                {die}
            sys.exit(code)
            """
        (folder / f"{name}.py").write_text(textwrap.dedent(script))
    return folder


def test_killed_at_two_stages_and_continued_it_gives_the_same_bytes(
    finished, rendered, fragile_tools, tmp_path, capfd
):
    spec, output = f"folder:{rendered}", tmp_path / "out"
    codes = [run(spec, output, tools=fragile_tools) for _ in range(3)]
    assert codes == [128 + 9, 128 + 9, 0]
    text = capfd.readouterr().out
    assert "stage refine (3 of 7): goes on" in text and "stage verdict (6 of 7): goes on" in text
    for name in ("boxes.json", "verdict.json", "per_image.json"):
        ours, theirs = (folder / "verdict" / name for folder in (output, finished))
        assert ours.read_bytes() == theirs.read_bytes(), name
    ours, theirs = (folder / "network/network.safetensors" for folder in (output, finished))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--method", "contours"],
            "--method 'contours' is unknown; known: lost, tokencut",
        ),
        (["--backbone", "resnet"], "--backbone 'resnet' is unknown; known: dino_mini"),
        (["--rounds", "0"], "--rounds is 0; give 1 or more"),
        (["--set", "iters=3"], "'iters' is unknown"),
        (["--max-side", "-1"], "max side is -1"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--data", "folder:/nowhere"], "image folder '/nowhere' does not exist"),
        (["--data", "scenes:train+first=7"], "has 7 images, and a comparison needs at least 8"),
        (["--data", "scenes:train+first=9+pseudo=x.json"], "x.json"),
    ],
)
def test_a_mistake_is_one_line_and_makes_no_folder(words, message, tmp_path, capsys):
    base = {"--data": "scenes:train+first=9", "--output": str(tmp_path / "out")}
    base |= dict(zip(words[::2], words[1::2], strict=True))
    assert improve.main([word for pair in base.items() for word in pair]) == 2
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "out").exists()


FAKE_DISCOVER = """
    import json, pathlib, sys

    output = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
    boxes = json.loads((pathlib.Path(__file__).parent / "boxes.json").read_text())
    boxes = boxes[output.parent.name]
    images = [
        {"id": i, "file_name": f"{i}.png", "width": 96, "height": 64} for i in range(len(boxes))
    ]
    annotations = [
        {"id": i + 1, "image_id": i, "category_id": 1, "bbox": box, "area": 1, "score": 1}
        for i, box in enumerate(boxes)
        if box
    ]
    content = {"info": {}, "images": images, "annotations": annotations}
    output.write_text(json.dumps(content | {"categories": [{"id": 1, "name": "object"}]}))
    """


@pytest.mark.parametrize(
    ("before", "targets", "message"),
    [
        (10, [[0, 0, 96, 64]], "10 of 10 targets cover the whole image"),
        (10, [None], "0 of 10 images have a target"),
        (7, [[9, 9, 9, 9]], "has boxes of 7 images, and a comparison needs at least 8"),
    ],
)
def test_targets_that_teach_nothing_end_the_run_before_the_training(
    rendered, tmp_path, capfd, before, targets, message
):
    tools = tmp_path / "tools"
    tools.mkdir()
    for path in TOOLS.glob("*.py"):
        (tools / path.name).write_text("import sys; sys.exit(99)")
    (tools / "discover.py").write_text(textwrap.dedent(FAKE_DISCOVER))
    boxes = {"before": [[5, 5, 9, 9]] * before, "targets": targets * 10}
    (tools / "boxes.json").write_text(json.dumps(boxes))
    assert run(f"folder:{rendered}", tmp_path / "out", tools=tools) == 2
    assert message in capfd.readouterr().err
    assert (tmp_path / "out/before/boxes.json").exists()
    assert not (tmp_path / "out/refine").exists()
