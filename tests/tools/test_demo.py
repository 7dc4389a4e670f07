"""tools/demo.py and tools/describe.py on scenes, with networks of random weights."""

import json

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.data.scenes import render_scene
from tests.tool_modules import tool

RANDOM = [
    "--device",
    "cpu",
    "--set",
    "MODEL.CLIP.WEIGHTS=random:0",
    "MODEL.HEATMAP.WEIGHTS=random:0",
]


demo, describe = tool("demo"), tool("describe")


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photograph.png"
    Image.fromarray(render_scene("val", 3).image).save(path)
    return str(path)


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_objects_of_a_rule(photograph, tmp_path, capsys):
    output = tmp_path / "objects.png"
    rule = ["--method", "lost", "--backbone", "dino_mini", "--device", "cpu"]
    assert demo.main([photograph, *rule, "--output", str(output)]) == 0
    assert "object 1: x " in capsys.readouterr().out
    again = tmp_path / "again.png"
    assert demo.main([photograph, *rule, "--set", "max_objects=3", "--output", str(again)]) == 0
    assert "object 3: x " in capsys.readouterr().out
    assert not np.array_equal(pixels(output), pixels(again))


def test_each_phrase_has_a_panel(photograph, tmp_path, capsys):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    phrases = ["--phrase", "a red bird"]
    assert demo.main([photograph, *phrases, *RANDOM, "--output", str(one)]) == 0
    phrases += ["--phrase", "ein großes Boot 船"]
    assert demo.main([photograph, *phrases, *RANDOM, "--output", str(two)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("a red bird: ") == 2 and printed.count("ein großes Boot 船: ") == 1
    assert pixels(two).shape[1] > 1.4 * pixels(one).shape[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--phrase", " ", *RANDOM], "the phrase ' ' is empty"),
        (["--phrase", "a", "--weights", "f.pth"], "--weights applies to --method only"),
        (["--phrase", "a", "--set", "MODEL"], "--set 'MODEL' is not of the form KEY=VALUE"),
        (["--phrase", "a", "--set", "MODEL.NONE=1"], "MODEL.NONE"),
        (["--phrase", "a", "--method", "lost"], "not allowed with argument"),
        (["--method", "representer", "--backbone", "dino_mini"], "compares an image with a whole"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_mistakes_are_one_line(photograph, tmp_path, capsys, flags, message):
    output = tmp_path / "none.png"
    assert demo.main([photograph, *flags, "--output", str(output)]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1 and not output.exists()


def test_a_missing_image_is_named(tmp_path, capsys):
    for command in (demo, describe):
        flags = ["--phrase", "a"] if command is demo else []
        assert command.main([str(tmp_path / "no.jpg"), *flags, *RANDOM, "--output", "x.png"]) == 2
        assert "no.jpg" in capsys.readouterr().err


def test_objects_have_captions_boxes_and_a_figure(photograph, tmp_path, capsys):
    output, record = tmp_path / "described.png", tmp_path / "described.json"
    flags = [*RANDOM, "LOOKING.MIN_SIMILARITY=0.999"]
    command = [photograph, *flags, "--output", str(output), "--json", str(record), "--most", "2"]
    assert describe.main(command) == 0
    printed = capsys.readouterr().out
    described = json.loads(record.read_text())["sights"]
    assert f"{described[0]['caption']}: " in printed
    assert f"({described[0]['regions']} regions)" in printed
    assert len(described) == len({entry["caption"] for entry in described}) > 0
    assert all(entry["regions"] >= 2 for entry in described)
    assert pixels(output).ndim == 3


def test_no_object_without_two_equal_captions(photograph, tmp_path, capsys):
    output = tmp_path / "described.png"
    flags = [*RANDOM, "LOOKING.MIN_SIZE=1000", "--output", str(output)]
    assert describe.main([photograph, *flags]) == 0
    assert "nothing: no two regions were described alike" in capsys.readouterr().out
    assert output.exists()


def test_blip_needs_its_weights(photograph, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    output = ["--output", str(tmp_path / "x.png")]
    assert describe.main([photograph, "--captioner", "blip", *RANDOM, *output]) == 2
    assert "the captioner blip cannot be read from" in capsys.readouterr().err
    assert describe.main([photograph, "--captioner", "git", *RANDOM, *output]) == 2
    assert "captioner 'git' is unknown" in capsys.readouterr().err
