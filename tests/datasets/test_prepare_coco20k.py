"""prepare_coco20k.py on a list of three images."""

import hashlib

import pytest

NAMES = [f"train2014/COCO_train2014_{number:012d}.jpg" for number in (9, 25, 30)]
CONTENT = "".join(f"{name}\n" for name in NAMES).encode()


@pytest.fixture
def tool(module, monkeypatch):
    """Return the command, with the list of three as the published one."""
    tool = module("prepare_coco20k")
    monkeypatch.setattr(tool, "LIST_MD5", hashlib.md5(CONTENT).hexdigest())
    return tool


@pytest.fixture
def given(tmp_path):
    """Write the list, and a root with all its images."""
    (tmp_path / "sets/coco/train2014").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "sets/coco" / name).touch()
    (tmp_path / "coco_20k_filenames.txt").write_bytes(CONTENT)
    return tmp_path


def arguments(given, *more):
    return ["--list", str(given / "coco_20k_filenames.txt"), "--root", str(given / "sets"), *more]


def test_the_list_is_put_into_place_byte_for_byte(tool, given, capsys):
    assert tool.main(arguments(given)) == 0
    written = given / "sets/coco/coco20k.txt"
    assert written.read_bytes() == CONTENT
    assert capsys.readouterr().out == f"{written}: 3 images, all there\n"
    assert sorted(p.name for p in written.parent.iterdir()) == ["coco20k.txt", "train2014"]


def test_the_root_is_that_of_the_environment(tool, given, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(given / "sets"))
    assert tool.main(arguments(given)[:2]) == 0
    assert (given / "sets/coco/coco20k.txt").read_bytes() == CONTENT


def test_another_list_names_both_sums(tool, given, capsys):
    other = CONTENT.splitlines(keepends=True)[0]
    (given / "coco_20k_filenames.txt").write_bytes(other)
    sums = [hashlib.md5(content).hexdigest() for content in (other, CONTENT)]
    assert tool.main(arguments(given)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"MD5 {sums[0]}, expected {sums[1]}; --any-list accepts it" in line
    assert not (given / "sets/coco/coco20k.txt").exists()
    assert tool.main(arguments(given, "--any-list")) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("note: ") and "coco20k refuses it" in captured.err
    assert captured.out.endswith(": 1 images, all there\n")
    assert (given / "sets/coco/coco20k.txt").read_bytes() == other


def test_missing_images_are_counted(tool, given, capsys):
    for name in NAMES[1:]:
        (given / "sets/coco" / name).unlink()
    assert tool.main(arguments(given)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 2 of the 3 images") and f"sets/coco/{NAMES[1]}'" in line
    assert not (given / "sets/coco/coco20k.txt").exists()


def test_other_mistakes_are_one_line(tool, given, capsys):
    assert tool.main(["--list", str(given / "gone.txt")]) == 2
    assert "cannot read --list" in capsys.readouterr().err
    assert tool.main([]) == 2
    assert "required: --list" in capsys.readouterr().err
    (given / "coco_20k_filenames.txt").write_bytes(b"\n")
    assert tool.main(arguments(given, "--any-list")) == 2
    assert "names no image" in capsys.readouterr().err.splitlines()[-1]


def test_the_published_sum(module):
    assert module("prepare_coco20k").LIST_MD5 == "133cea5ffcea93dccbaeb62c38b24e7c"
