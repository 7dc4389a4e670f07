import json

import pytest
from PIL import Image

from tests.tool_modules import tool


@pytest.fixture(scope="module")
def main():
    return tool("compare_keys").main


def words(folder, **changes):
    given = {
        "--data": "scenes:val+first=4",
        "--backbone": "dino_mini",
        "--device": "cpu",
        "--output": str(folder / "keys"),
    }
    given |= {"--" + name.replace("_", "-"): value for name, value in changes.items()}
    return [word for pair in given.items() for word in pair]


def test_scenes(main, tmp_path, capsys):
    assert main(words(tmp_path, pairs="7")) == 0
    table = capsys.readouterr().out
    result = json.loads((tmp_path / "keys" / "key_similarity.json").read_text())
    assert list(result["measures"]) == ["cosine", "dot", "l2", "l1", "chebyshev"]
    assert result["counts"]["compared_of_different_classes"] == 7
    assert result["info"]["seed"] == 0 and len(result["info"]["weights"]["sha256"]) == 64
    assert f"{result['measures']['l1']['auc']:.3f}" in table
    figure = Image.open(tmp_path / "keys" / "key_similarity.png")
    assert figure.width > 1500

    before = (tmp_path / "keys" / "key_similarity.json").read_bytes()
    assert main(words(tmp_path, pairs="7")) == 0
    assert (tmp_path / "keys" / "key_similarity.json").read_bytes() == before
    assert main(words(tmp_path, pairs="7", seed="1")) == 0
    assert json.loads((tmp_path / "keys" / "key_similarity.json").read_text()) != result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "folder:{folder}"}, "has no labels, and keys are compared by their classes"),
        ({"data": "scenes:val+agnostic+first=2"}, "keys are of one class, 'object'"),
        ({"data": "scenes:nowhere"}, "nowhere"),
        ({"per": "pixel"}, "invalid choice: 'pixel'"),
        ({"pairs": "0"}, "--pairs is 0"),
        ({"seed": "-1"}, "--seed is -1"),
        ({"max_side": "-1"}, "--max-side is -1"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"backbone": "dino_maxi"}, "backbone 'dino_maxi' is unknown"),
        ({"backbone": "move_mini", "weights": "random"}, "gives mask and no keys"),
        ({"output": "{folder}/a.png"}, "a.png' is a file; a folder is needed"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, tmp_path, capsys, change, message):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "a.png")
    changed = {key: value.format(folder=tmp_path) for key, value in change.items()}
    assert main(words(tmp_path, **changed)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = [line for line in captured.err.splitlines() if "error: " in line]
    assert message in line
    assert not (tmp_path / "keys").exists()
