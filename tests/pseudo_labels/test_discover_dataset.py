"""discover_dataset: its output, interruptions, bad images and refused settings."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.discovery import normalized_cut
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset, planning, run
from boxrefine_d2.pseudo_labels.journal import Journal
from boxrefine_d2.pseudo_labels.one_image import discover_image
from tests.tool_modules import tool

TOOLS = Path(__file__).parents[2] / "tools"
MINI = DiscoverySettings("lost", backbone="dino_mini", weights="random:0", batch_size=2)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Write seven good images of five sizes in two folders; two have the same file name."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (33, 47), (40, 60), (40, 60), (90, 30), (5, 7), (1, 1)]
    for number, (height, width) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        place = root / "sub" / "0.png" if number == 3 else root / f"{number}.png"
        Image.fromarray(pixels).save(place)
    return root


def discover(folder, output, settings=MINI):
    return discover_dataset(f"folder:{folder}", output, settings, num_workers=0)


def test_every_image_has_a_box_in_its_own_frame(folder, tmp_path):
    summary = discover(folder, tmp_path / "out.json")
    assert (summary.done, summary.failed) == (7, 0)
    labels = read_pseudo_labels(tmp_path / "out.json")
    names = [image["file_name"] for image in labels.images]
    assert sorted(names) == ["0.png", "1.png", "2.png", "4.png", "5.png", "6.png", "sub/0.png"]
    sizes = {image["id"]: (image["width"], image["height"]) for image in labels.images}
    assert len(labels.annotations) == 7
    for annotation in labels.annotations:
        x, y, w, h = annotation["bbox"]
        width, height = sizes[annotation["image_id"]]
        assert x % 16 == 0 and y % 16 == 0
        assert (x + w) % 16 == 0 or x + w == width
        assert (y + h) % 16 == 0 or y + h == height
        assert 0 <= annotation["score"] <= 1
    assert labels.info["parameters"]["k_patches"] == 100
    assert labels.info["weights"]["source"] == "random:0"
    assert labels.info["images_asked"] == 7 and labels.info["images_failed"] == []
    # the file serves as labels of the same images
    dataset = load_spec(f"folder:{folder}+pseudo={tmp_path / 'out.json'}")
    assert all(len(record["annotations"]) == 1 for record in dataset.records)


@pytest.mark.parametrize("method", ["tokencut", "maskcut", "ensemble"])
def test_cuts_solved_by_lapack_are_counted_over_an_interruption_too(
    folder, tmp_path, monkeypatch, method
):
    """The test sets precisions that no solver reaches: LAPACK then solves all cuts."""
    never = normalized_cut.Precision(torch.float32, steps=2, error=-1.0, rounding=1e-7)
    monkeypatch.setattr(normalized_cut, "SINGLE", never)
    monkeypatch.setattr(normalized_cut, "DOUBLE", never)
    parameters = {"crf": False, "n_masks": 1, "input_side": 0} if method == "maskcut" else {}
    settings = replace(MINI, method=method, parameters=parameters)
    add = Journal.add

    def add_two(self, index, entry):
        if len(self) == 2:
            raise KeyboardInterrupt
        add(self, index, entry)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(Journal, "add", add_two)
        with pytest.raises(KeyboardInterrupt):
            discover(folder, tmp_path / "out.json", settings)
    discover(folder, tmp_path / "out.json", settings)
    # two of the seven images are a single patch, which needs no solver
    assert read_pseudo_labels(tmp_path / "out.json").info["dense_solves"] == 5
    discover(folder, tmp_path / "lost.json")
    assert read_pseudo_labels(tmp_path / "lost.json").info["dense_solves"] == 0


def test_masks_that_the_image_refines_are_the_same_in_workers_and_alone(tmp_path):
    """Check ARM and SGRM from the settings of a command to the file, which records them."""
    parameters = {"input_side": 64, "arm.steps": 5, "sgrm.steps": 2}
    settings = replace(MINI, method="tokencut_refined", parameters=parameters)
    image_folder = tmp_path / "images"
    image_folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 90, (40, 60, 3), dtype=np.uint8)
        pixels[8 + number : 30, 20:45] += np.array([140, 60, 0], np.uint8)
        Image.fromarray(pixels).save(image_folder / f"{number}.png")
    files = {}
    for workers in (0, 2):
        files[workers] = tmp_path / f"{workers}.json"
        discover_dataset(f"folder:{image_folder}", files[workers], settings, num_workers=workers)
    assert files[0].read_bytes() == files[2].read_bytes()
    labels = read_pseudo_labels(files[0])
    assert labels.info["parameters"]["arm"]["steps"] == 5
    assert labels.info["parameters"]["sgrm"]["steps"] == 2
    for number, annotation in enumerate(labels.annotations):
        assert decode_mask(annotation["segmentation"], (40, 60)).any()
        [alone] = discover_image(str(image_folder / f"{number}.png"), settings)
        assert alone["bbox"] == annotation["bbox"]


def test_the_batch_size_changes_no_box(folder, tmp_path):
    discover(folder, tmp_path / "two.json")
    discover(folder, tmp_path / "one.json", replace(MINI, batch_size=1))
    two, one = (read_pseudo_labels(tmp_path / f"{n}.json") for n in ("two", "one"))
    assert [a["bbox"] for a in two.annotations] == [a["bbox"] for a in one.annotations]


def test_bf16_finds_nearly_the_same_boxes(tmp_path, caplog):
    boxes = {}
    for precision in ("fp32", "bf16"):
        output = tmp_path / f"{precision}.json"
        settings = replace(MINI, precision=precision)
        discover_dataset("scenes:val+first=6", output, settings, num_workers=0)
        labels = read_pseudo_labels(output)
        assert labels.info["precision"] == precision
        boxes[precision] = torch.tensor([a["bbox"] for a in labels.annotations])
    assert "on others fp32 is many times faster" in caplog.text
    corners = [torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], dim=1) for b in boxes.values()]
    assert box_iou(*corners).diagonal().mean() > 0.9


def test_a_reduced_image_has_boxes_in_the_original_frame(tmp_path):
    (tmp_path / "i").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "i/a.png")
    discover(tmp_path / "i", tmp_path / "out.json", replace(MINI, max_side=100))
    labels = read_pseudo_labels(tmp_path / "out.json")
    (image,), (annotation,) = labels.images, labels.annotations
    assert (image["width"], image["height"]) == (400, 200)
    x, y, w, h = annotation["bbox"]
    assert x % 64 == 0 and y % 64 == 0  # a patch of the reduced image is 64 pixels
    assert w >= 16 and h >= 8 and x + w <= 400 and y + h <= 200


def test_bad_images_are_counted_and_named_and_change_no_other_image(folder, tmp_path):
    discover(folder, tmp_path / "good.json")
    good = read_pseudo_labels(tmp_path / "good.json")
    (folder / "text.jpg").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    summary = discover(folder, tmp_path / "out.json")
    assert (summary.done, summary.failed) == (7, 3)
    labels = read_pseudo_labels(tmp_path / "out.json")
    failed = labels.info["images_failed"]
    assert [entry["file_name"] for entry in failed] == ["cut.png", "empty.png", "text.jpg"]
    assert all(entry["reason"] for entry in failed)
    names = {image["id"]: image["file_name"] for image in labels.images}
    boxes = {names[a["image_id"]]: a["bbox"] for a in labels.annotations}
    names = {image["id"]: image["file_name"] for image in good.images}
    assert boxes == {names[a["image_id"]]: a["bbox"] for a in good.annotations}


def test_too_large_an_image_fails_with_its_size(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "MAX_AFFINITY_BYTES", 4 * 12**2)  # 12 patches; 40 x 60 pixels
    summary = discover(folder, tmp_path / "out.json")
    assert summary.failed == 0
    Image.new("RGB", (64, 64)).save(folder / "large.png")
    summary = discover(folder, tmp_path / "out.json")
    assert (summary.done, summary.failed) == (7, 1)
    (failure,) = read_pseudo_labels(tmp_path / "out.json").info["images_failed"]
    assert failure["file_name"] == "large.png" and "64 x 64 pixels" in failure["reason"]


def test_an_interrupted_run_continues_to_the_same_bytes(folder, tmp_path, monkeypatch):
    output = tmp_path / "out.json"
    discover(folder, tmp_path / "whole.json")
    original, calls = run.read_finite_maps, []

    def dies_at_the_third_batch(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(run, "read_finite_maps", dies_at_the_third_batch)
    with pytest.raises(KeyboardInterrupt):
        discover(folder, output)
    assert not output.exists()
    (journal,) = tmp_path.glob("out.json.journal.*")
    with journal.open("a") as file:
        file.write('[2, {"images": [')  # an incomplete line
    calls.clear()
    calls.append("not the third again")
    monkeypatch.setattr(run, "read_finite_maps", lambda *a: calls.append(a) or original(*a))
    summary = discover(folder, output)
    assert len(calls) == 1 + 3  # five batches, two of them done before
    assert output.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert summary.done == 7 and summary.done_now < 7
    assert not list(tmp_path.glob("*.journal.*"))


def test_a_journal_of_other_settings_is_refused(folder, tmp_path, monkeypatch):
    output = tmp_path / "out.json"

    add = Journal.add

    def dies_after_one(self, index, entry):
        add(self, index, entry)
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", dies_after_one)
    with pytest.raises(KeyboardInterrupt):
        discover(folder, output)
    with pytest.raises(UserError, match=r"other settings \(parameters\)"):
        discover(folder, output, replace(MINI, parameters={"k_patches": 5}))


def test_two_processes_write_the_bytes_of_one(folder, tmp_path):
    outputs = [tmp_path / "one.json", tmp_path / "two.json"]
    launchers = [[], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]]
    for output, launcher in zip(outputs, launchers, strict=True):
        command = [sys.executable, *launcher, TOOLS / "discover.py", "--method", "lost"]
        command += ["--data", f"folder:{folder}", "--output", output, "--backbone", "dino_mini"]
        command += ["--weights", "random:0", "--batch-size", "2", "--num-workers", "0"]
        command += ["--device", "cpu", "--set", "k_patches=20"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        result = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )
        assert result.returncode == 0, result.stderr[-2000:]
        assert result.stdout.startswith("7 images done, 0 failed, ")
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert json.loads(outputs[0].read_text())["info"]["parameters"]["k_patches"] == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--method", "losst"],
            "discovery method 'losst' is unknown; known: absorption, contours, dino_seg, ",
        ),
        (["--data", "folder:nowhere"], "nowhere"),
        (["--set", "k_patches"], "--set 'k_patches' is not of the form KEY=VALUE"),
        (["--set", "patches=3"], "lost has no parameter 'patches'; known: k_patches, centre"),
        (["--backbone", "dino"], "backbone 'dino' is unknown; known: dino_mini"),
        (["--weights", "nowhere.pth"], "no weights file at nowhere.pth"),
        (["--batch-size", "0"], "batch size is 0"),
        (["--device", "tpu7"], "tpu7"),
        (["--precision", "fp64"], "fp64"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(folder, tmp_path, arguments, message, capsys):
    base = ["--method", "lost", "--data", f"folder:{folder}", "--output", str(tmp_path / "o.json")]
    base += ["--backbone", "dino_mini", "--weights", "random:0", "--num-workers", "0"]
    assert tool("discover").main([*base, *arguments]) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "o.json").exists()


def test_a_run_that_finished_no_batch_does_not_block_another(folder, tmp_path):
    wrong = replace(MINI, method="dino_seg")  # dino_mini has no head 4
    with pytest.raises(UserError, match="--set head=0"):
        discover(folder, tmp_path / "out.json", wrong)
    discover(folder, tmp_path / "out.json", replace(wrong, parameters={"head": 0}))
    assert [path.name for path in tmp_path.glob("out.json*")] == ["out.json"]


@pytest.fixture
def blind_to_white(monkeypatch):
    """Use a network whose map of a white image holds NaN."""
    network = build_backbone("dino_mini", "random:0")
    forward = network.forward

    def spoilt(images, *args, **kwargs):
        features = forward(images, *args, **kwargs)
        features.data[images.mean(dim=(1, 2, 3)) > 2, 0, 0, 0] = float("nan")
        return features

    network.forward = spoilt
    monkeypatch.setattr(run, "build_backbone", lambda *_: network)


@pytest.mark.parametrize("method", ["lost", "representer"])
def test_an_image_whose_map_is_not_finite_fails_alone(tmp_path, blind_to_white, method):
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 200, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    Image.new("RGB", (48, 48), "white").save(tmp_path / "1.png")
    output = tmp_path / "out.json"
    settings = replace(MINI, method=method)
    summary = discover_dataset(f"folder:{tmp_path}", output, settings, num_workers=0)
    assert (summary.done, summary.failed) == (2, 1)
    labels = read_pseudo_labels(output)
    assert [image["file_name"] for image in labels.images] == ["0.png", "2.png"]
    [failed] = labels.info["images_failed"]
    assert failed["file_name"] == "1.png" and "not finite" in failed["reason"]


def test_files_that_are_no_images_are_counted_in_the_file_and_reported(folder, tmp_path, caplog):
    for name in ("a.HEICx", "notes.txt", "b.txt", "clip.mp4"):
        (folder / name).write_text("no image")
    output = tmp_path / "out.json"
    discover_dataset(f"folder:{folder}", output, MINI, num_workers=0)
    assert read_pseudo_labels(output).info["other_files"] == {".txt": 2, ".heicx": 1, ".mp4": 1}
    assert "4 other files are not read as images: 2 .txt, 1 .heicx, 1 .mp4" in caplog.text


@pytest.mark.parametrize("name", ["images", "images/0.png", "x" * 240, "images/0.png/o.json"])
def test_an_impossible_output_is_refused_before_the_first_image(
    folder, tmp_path, name, monkeypatch
):
    monkeypatch.setattr(run, "WholeImageLoader", None)
    before = (folder / "0.png").read_bytes()
    with pytest.raises(UserError, match="--output"):
        discover_dataset(f"folder:{folder}", tmp_path / name, MINI, num_workers=0)
    assert (folder / "0.png").read_bytes() == before


def test_labels_of_stored_pixels_do_not_move_the_boxes(tmp_path, caplog):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", exif=exif)
    image = {"id": 1, "file_name": "a.png", "width": 80, "height": 48}
    label = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 79, 40]}
    document = {"images": [image], "annotations": [label], "categories": [{"id": 1, "name": "x"}]}
    (tmp_path / "gt.json").write_text(json.dumps(document))
    output = tmp_path / "out.json"
    summary = discover_dataset(f"coco:{tmp_path}/gt.json:{tmp_path}", output, MINI, num_workers=0)
    assert (summary.done, summary.failed) == (1, 0)
    assert (read_pseudo_labels(output).images[0]["width"], "EXIF" in caplog.text) == (48, True)


def test_the_statistics_come_from_another_data_set(folder, tmp_path):
    base, settings = tmp_path / "base", replace(MINI, method="representer")
    base.mkdir()
    rng = np.random.default_rng(5)
    for number in range(3):
        pixels = rng.integers(0, 256, (64, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(base / f"{number}.png")
    (base / "3.png").write_bytes(b"no image")
    outputs = {}
    for name, spec in (("own", ""), ("same", f"folder:{folder}"), ("other", f"folder:{base}")):
        outputs[name] = tmp_path / f"{name}.json"
        discover(folder, outputs[name], replace(settings, base=spec))
    own, same, other = (read_pseudo_labels(path) for path in outputs.values())
    assert own.annotations == same.annotations != other.annotations
    assert len(other.images) == 7
    assert "base" not in own.info and other.info["base"] == f"folder:{base}"
    assert same.info["base_images_sha256"] == own.info["images_sha256"]
    assert other.info["base_images_sha256"] != own.info["images_sha256"]


def test_images_that_the_statistics_leave_out_are_counted(folder, tmp_path, caplog):
    (tmp_path / "base").mkdir()
    Image.new("RGB", (48, 48), "red").save(tmp_path / "base" / "0.png")
    (tmp_path / "base" / "1.png").write_bytes(b"no image")
    settings = replace(MINI, method="representer", base=f"folder:{tmp_path / 'base'}")
    discover(folder, tmp_path / "out.json", settings)
    assert "statistics: 1 of 2 images are left out" in caplog.text


def test_a_rule_that_reads_one_image_refuses_another_data_set(folder, tmp_path):
    with pytest.raises(UserError, match="--base scenes:val: lost reads one image at a time"):
        discover(folder, tmp_path / "out.json", replace(MINI, base="scenes:val"))
