import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data import write_pseudo_labels
from tests.tool_modules import tool


@pytest.fixture(scope="module")
def main():
    return tool("edit_labels").main


def label(score, x, width):
    """Return a label over the whole height of an image 20 pixels wide and 10 high."""
    mask = np.zeros((10, 20), np.uint8, order="F")
    mask[:, x : x + width] = 1
    box = [x, 0, width, 10]
    return {"image_id": 1, "score": score, "bbox": box, "segmentation": mask_codec.encode(mask)}


@pytest.fixture
def files(tmp_path):
    """Write old labels and predictions of one image.

    The prediction of the higher score overlaps the first label with IoU 1/2.
    """
    images = [{"id": 1, "file_name": "1.jpg", "width": 20, "height": 10}]
    old, new, copy = (tmp_path / f"{name}.json" for name in ("old", "new", "copy"))
    content = {
        old: [label(1.0, 0, 10), label(0.9, 10, 10)],
        new: [label(0.7, 0, 5), label(0.6, 10, 8)],
    }
    content[copy] = content[old]
    for path, labels in content.items():
        write_pseudo_labels(path, images=images, annotations=labels, info={"method": path.stem})
    paths = {path.stem: str(path) for path in content}
    return paths | {"out": str(tmp_path / "out.json")}


MERGE = "merge --old {old} --new {new} --output {out}"


@pytest.mark.parametrize(
    ("command", "line", "boxes"),
    [
        (
            f"{MERGE} --min-score 0.7",
            "1 images, 1 touched, 0 without labels: 1 labels kept, 1 dropped, 1 added; "
            "1 predictions below 0.7 left out; compared by masks",
            [[0, 0, 5, 10], [10, 0, 10, 10]],
        ),
        (
            f"{MERGE} --min-score 0.7 --max-iou 0.6 --by box --area box",
            "1 images, 1 touched, 0 without labels: 2 labels kept, 0 dropped, 1 added; "
            "1 predictions below 0.7 left out; compared by boxes",
            [[0, 0, 5, 10], [0, 0, 10, 10], [10, 0, 10, 10]],
        ),
        (
            "separate --input {old} --output {out}",
            "1 images, 0 touched, 0 without labels: 2 labels kept, 0 dropped, 0 added; "
            "images without labels stay in the list",
            [[0, 0, 10, 10], [10, 0, 10, 10]],
        ),
        (
            "matching --input {old} --predictions {new} --output {out}",
            "1 images, 1 touched, 0 without labels: 1 labels kept, 1 dropped, 0 added; "
            "compared by masks",
            [[0, 0, 10, 10]],
        ),
        (
            "matching --input {old} --predictions {new} --min-score 0.6 --min-iou 0.8 "
            "--output {out}",
            "1 images, 1 touched, 0 without labels: 1 labels kept, 1 dropped, 0 added; "
            "compared by masks",
            [[10, 0, 10, 10]],
        ),
        (
            "agree --input {old} --with {new} --min-iou 0.6 --output {out}",
            "1 images, 1 touched, 0 without labels: 1 labels kept, 1 dropped, 0 added; "
            "kept 1 of 1 images, 1 annotations",
            [[10, 0, 10, 10]],
        ),
        (
            "agree --input {old} --with {new} {copy} --votes 1 --by mask --output {out}",
            "1 images, 0 touched, 0 without labels: 2 labels kept, 0 dropped, 0 added; "
            "kept 1 of 1 images, 2 annotations",
            [[10, 0, 10, 10], [0, 0, 10, 10]],
        ),
        (
            "areas --input {new} --max-area 0.3 --output {out}",
            "1 images, 1 touched, 0 without labels: 1 labels kept, 1 dropped, 0 added; "
            "1 cover more than 0.3",
            [[0, 0, 5, 10]],
        ),
        (
            "top --input {old} --count 1 --output {out}",
            "1 images, 1 touched, 0 without labels: 1 labels kept, 1 dropped, 0 added",
            [[0, 0, 10, 10]],
        ),
    ],
)
def test_one_line_counts_the_labels(main, files, capsys, command, line, boxes):
    assert main(command.format(**files).split()) == 0
    assert capsys.readouterr().out == f"{line}\n"
    document = json.loads(Path(files["out"]).read_text())
    assert [entry["bbox"] for entry in document["annotations"]] == boxes


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (MERGE, "the following arguments are required: --min-score; see --help"),
        (f"{MERGE} --min-score high", "invalid float value: 'high'"),
        (f"{MERGE} --min-score 0.7 --max-iou 2", "the IoU is 2.0; give a number above 0"),
        (f"{MERGE} --min-score 0.7 --by polygon", "invalid choice: 'polygon'"),
        ("merge --old none.json --new {new} --min-score 1 --output {out}", "'none.json' does not"),
        ("separate --input {old} --drop all --output {out}", "invalid choice: 'all'"),
        ("top --input {old} --count 0 --output {out}", "0 labels an image were asked for"),
        ("top --input {old} --count 1 --min-score 2 --output {out}", "lower --min-score"),
        ("top --input {old} --count 1 --output {old}/below", "cannot write"),
        ("sort --input {old} --output {out}", "invalid choice: 'sort'"),
        ("agree --input {old} --output {out}", "required: --with"),
        ("agree --input {old} --with {new} --votes 2 --output {out}", "--votes is 2; give 1 to 1"),
        ("agree --input {old} --with {new} --min-iou 1 --output {out}", "lower --min-iou to 0.8 "),
        ("areas --input {old} --max-area 0.1 --output {out}", "2 are larger: raise --max-area"),
        ("", "required: merge|separate|matching|agree|areas|top; see --help"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, files, capsys, command, message):
    assert main(command.format(**files).split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    printed = captured.err[captured.err.index("error: ") :]  # after the progress bars
    assert printed.count("\n") == 1 and message in printed
    assert not Path(files["out"]).exists()


@pytest.mark.parametrize("role", ["old", "new"])
def test_no_input_is_overwritten(main, files, role, capsys):
    before = Path(files[role]).read_bytes()
    assert main(f"{MERGE} --min-score 0.7".format(**files | {"out": files[role]}).split()) == 2
    assert "is an input of this command" in capsys.readouterr().err
    assert (
        main(f"agree --input {files['old']} --with {files['new']} --output {files[role]}".split())
        == 2
    )
    assert "is an input of this command" in capsys.readouterr().err
    assert Path(files[role]).read_bytes() == before
