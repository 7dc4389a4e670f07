"""Checks of the families beside exit code and output: each check finds its fault."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.data.images import ImageReadError
from fuzz import images
from fuzz.images import _discovered, _read
from fuzz.outcomes import Outcome
from fuzz.processes import _wrong_end
from fuzz.sandbox import Sandbox

LINE = "error: interrupted; the same command goes on\n"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 3)).save(path)
    return str(path)


def raising(error):
    def read(path):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda path: np.zeros((3, 4, 3), np.uint8), "ok"),
        (lambda path: np.zeros((4, 3, 3), np.uint8), "wrong result"),
        (lambda path: np.zeros((3, 4), np.uint8), "wrong result"),
        (lambda path: np.zeros((3, 4, 3)), "wrong result"),
        (raising(KeyError("planted")), "traceback"),
        (raising(ImageReadError("cannot read", path="other", reason="x")), "wrong result"),
        (raising(ImageReadError("cannot read image", path="", reason="")), "wrong result"),
    ],
)
def test_reading_an_image_is_judged_by_its_result(image, monkeypatch, read, kind):
    monkeypatch.setattr(images, "read_image", read)
    assert _read(image).kind == kind


def test_an_image_that_cannot_be_read_is_refused_with_its_reason(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    assert _read(str(path)).kind == "refused"


def test_reading_without_enough_memory_is_a_failure(image, monkeypatch):
    error = ImageReadError("cannot read: not enough memory", path=image, reason="not enough memory")
    monkeypatch.setattr(images, "read_image", raising(error))
    assert _read(image).kind == "memory"


@pytest.mark.parametrize(
    ("done", "failed", "kind"),
    [
        (["a.png"], [{"file_name": "b.png", "reason": "empty"}], "ok"),
        (["a.png"], [], "wrong result"),
        (["a.png"], [{"file_name": "b.png", "reason": ""}], "wrong result"),
        (["a.png", "b.png"], [{"file_name": "b.png", "reason": "empty"}], "wrong result"),
    ],
)
def test_every_file_of_a_folder_is_accounted_for(tmp_path, monkeypatch, done, failed, kind):
    box = Sandbox(tmp_path / "box")
    for name in ("a.png", "b.png"):
        (box.given / name).touch()
    content = {"images": done, "info": {"images_failed": failed}}
    (box.out / "o.json").write_text(json.dumps(content))
    monkeypatch.setattr(images, "run_main", lambda main, argv: Outcome("ok"))
    assert _discovered([], box).kind == kind


def test_a_folder_with_a_whole_image_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "run_main", lambda main, argv: Outcome("refused", "error: x"))
    assert _discovered([], Sandbox(tmp_path / "box")).kind == "wrong result"


@pytest.mark.parametrize(
    ("kind", "code", "text", "wrong"),
    [
        ("SIGINT", 130, LINE, None),
        ("SIGINT", 130, "", "not one line"),
        ("SIGINT", 130, LINE + LINE, "not one line"),
        ("SIGINT", 0, "done\n", None),
        ("SIGINT", 1, LINE, "wrong exit code"),
        ("SIGINT", 130, "Traceback (most recent call last):\nKeyboardInterrupt\n", "traceback"),
        ("SIGTERM", 143, LINE, None),
        ("SIGTERM", 2, LINE, "wrong exit code"),
        ("SIGKILL", -9, "", None),
        ("SIGKILL", -11, "", "wrong exit code"),
        ("a worker killed", 2, LINE, None),
        ("a worker killed", 2, "", "not one line"),
        ("output folder removed", -9, "", "wrong exit code"),
    ],
)
def test_the_end_of_an_interrupted_run_is_judged(kind, code, text, wrong):
    outcome = _wrong_end(kind, code, text)
    assert (outcome and outcome.kind) == wrong


def test_a_pipe_among_the_inputs_does_not_hang_the_sandbox(tmp_path):
    box = Sandbox(tmp_path / "box")
    os.mkfifo(box.given / "a.jpg")
    box.remember()
    assert box.strays() == []
