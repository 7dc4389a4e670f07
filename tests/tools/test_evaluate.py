import json
import shutil

import numpy as np
import pytest

from tests.tool_modules import tool


@pytest.fixture(scope="module")
def main():
    return tool("evaluate").main


@pytest.fixture
def coco(tmp_path):
    """Write the labels of four images of 100 x 80 pixels, one of them without objects.

    The image files do not exist, because the command reads none.
    """
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 80} for i in (11, 12, 13, 14)
    ]
    annotations = [
        {
            "id": n,
            "image_id": i,
            "category_id": 7,
            "bbox": [10, 10, 40, 40],
            "area": 1600,
            "iscrowd": 0,
        }
        for n, i in enumerate((11, 12, 13), start=1)
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "x"}]}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    (tmp_path / "images").mkdir()
    return tmp_path


def arguments(folder, predictions, *more):
    (folder / "pred.json").write_text(json.dumps(predictions))
    spec = f"coco:{folder / 'gt.json'}:{folder / 'images'}"
    return ["--gt", spec, "--pred", str(folder / "pred.json"), "--metrics", "corloc", *more]


def result(image_id, box, score=1.0):
    return {"image_id": image_id, "category_id": 1, "bbox": box, "score": score}


def test_corloc_of_a_results_list(main, coco, capsys):
    """Image 11 is a hit with IoU 1/2. The box of the higher score misses the object of image 12.

    Image 13 has no prediction, image 14 no object.
    """
    predictions = [
        result(11, [10, 10, 40, 20]),
        result(12, [10, 10, 40, 40], 0.3),
        result(12, [60, 50, 30, 20], 0.8),
        result(14, [0, 0, 5, 5]),
    ]
    out = coco / "scores" / "out.json"
    assert main(arguments(coco, predictions, "--json", str(out))) == 0
    assert json.loads(out.read_text()) == {
        "corloc": pytest.approx(100 / 3),
        "images_evaluated": 3,
        "images_without_ground_truth": 1,
        "images_without_prediction": 1,
    }
    assert capsys.readouterr().out.splitlines() == [
        "corloc                       33.33 %",
        "images evaluated                   3",
        "images without ground truth        1",
        "images without prediction          1",
    ]


def test_a_data_set_file_scored_against_itself_is_perfect(main, coco, capsys):
    truth = json.loads((coco / "gt.json").read_text())
    assert main(arguments(coco, truth)) == 0
    assert "100.00 %" in capsys.readouterr().out


def test_agnostic_and_first_modifiers(main, coco, capsys):
    args = arguments(coco, [result(11, [10, 10, 40, 40])])
    args[1] += "+agnostic+first=1"
    assert main(args) == 0
    assert "corloc                       100.00 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--metrics": "corlok"}, "unknown corlok; known: corloc"),
        ({"--pred": "nowhere.json"}, "prediction file 'nowhere.json' does not exist"),
        ({"--protocol": "strict"}, "protocol 'strict' is unknown; known: lost"),
        ({"--gt": "cocoo:a:b"}, "cocoo"),
        ({"--unheard-of": "1"}, "unrecognized arguments: --unheard-of"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, coco, capsys, change, message):
    given = arguments(coco, [result(11, [10, 10, 40, 40])])
    args = dict(zip(given[::2], given[1::2], strict=True)) | change
    assert main([word for pair in args.items() for word in pair]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_missing_arguments_and_bad_files_exit_with_2(main, coco, capsys):
    out = coco / "out.json"
    assert main(["--gt", "scenes:val"]) == 2
    assert main(arguments(coco, [], "--json", str(out))) == 2
    assert main(arguments(coco, [result("11", [10, 10, 40, 40])], "--json", str(out))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "--pred" in lines[0]
    assert "holds no predictions" in lines[1]
    assert "the file has '11', the ground truth has 11, 12, 13, ..." in lines[2]
    assert len(lines) == 3
    assert not out.exists()


def test_no_input_is_overwritten(main, coco, capsys):
    words = arguments(coco, [result(11, [10, 10, 40, 40])])
    for name in ("pred.json", "gt.json"):
        before = (coco / name).read_bytes()
        assert main([*words, "--json", str(coco / "images" / ".." / name)]) == 2
        assert "is an input of this command" in capsys.readouterr().err
        assert (coco / name).read_bytes() == before
    assert main([*words, "--json", str(coco)]) == 2
    assert "--json" in capsys.readouterr().err


def test_the_name_of_a_data_set_is_no_input_file_but_its_annotations_are(
    main, coco, capsys, monkeypatch
):
    monkeypatch.chdir(coco)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(coco))
    (coco / "cutouts").mkdir()
    shutil.copy(coco / "gt.json", coco / "cutouts" / "val.json")
    (coco / "cutouts" / "val").mkdir()
    words = arguments(coco, [result(11, [10, 10, 40, 40])])
    words[1] = "cutouts_val"
    assert main([*words, "--json", "cutouts_val"]) == 0
    assert json.loads((coco / "cutouts_val").read_text())["images_evaluated"] == 3
    assert main([*words, "--json", "cutouts/val.json"]) == 2
    assert "is an input of this command" in capsys.readouterr().err
    scenes = arguments(coco, [result(1_000_001, [10, 10, 40, 40])])
    scenes[1] = "scenes:val+first=1"
    assert main([*scenes, "--json", "val"]) == 0


@pytest.fixture
def maps(coco):
    """Write a results file with a perfect map for each object, and return its path."""
    entries = []
    for image_id in (11, 12, 13):
        scores = np.zeros((80, 100), np.float32)
        scores[10:50, 10:50] = 1
        np.savez_compressed(coco / f"{image_id}.npz", map=scores)
        entries.append(result(image_id, [10, 10, 40, 40]) | {"heatmap": f"{image_id}.npz"})
    (coco / "localization.json").write_text(json.dumps(entries))
    return coco / "localization.json"


def of_maps(coco, maps, *more, metrics="gt_known,maxboxacc_v1"):
    spec = f"coco:{coco}/gt.json:{coco}/images"
    return ["--gt", spec, "--pred", str(maps), "--metrics", metrics, *more]


def test_metrics_of_maps_name_their_thresholds(main, coco, maps, capsys):
    out, page = coco / "out.json", coco / "curve.html"
    words = ["--map-resize", "0", "--json", str(out), "--curve", str(page)]
    assert main(of_maps(coco, maps, *words)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=2) == ["gt_known", "100.00", "%  the box of the file"]
    assert lines[1].endswith("threshold 0.000; the best on the scored images (test)")
    assert json.loads(out.read_text())["rules"]["gt_known"] == "the box of the file"
    assert "Box of the largest contour" in page.read_text()
    assert page.read_text().count("<polyline") == 6


def test_thresholds_of_a_validation_file(main, coco, maps, capsys):
    val = ["--val-gt", f"coco:{coco}/gt.json:{coco}/images+first=1", "--val-pred", str(maps)]
    assert main(of_maps(coco, maps, "--threshold-from", "val", *val)) == 0
    assert "+first=1 (val)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--threshold-from", "val"], "needs --val-gt SPEC and --val-pred FILE"),
        (["--threshold", "0.5"], "need each other"),
        (["--map-normalise", "softmax"], "known: minmax, max, none"),
        (["--map-resize", "9999"], "--map-resize 9999"),
        (["--v2-rule", "mine"], "known: per_delta, common"),
        (["--curve", "{maps}"], "is an input of this command"),
        (["--metrics", "gt_known", "--curve", "a.html"], "--curve draws metrics of score maps"),
        (["--metrics", "pxap"], "has no mask to score against"),
        (["--metrics", "top1_cls"], "have no 'labels'"),
    ],
)
def test_mistakes_with_maps(main, coco, maps, capsys, more, message):
    words = [word.replace("{maps}", str(maps)) for word in more]
    assert main(of_maps(coco, maps, *words)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
