"""Statistics files beside an output: used if complete and of the same settings, else replaced."""

import json
import os

import pytest
import safetensors.torch
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.observing import observe, statistics_file
from tests.networks.hostile_files import WRITERS, mark_of

INFO = {"method": "sums", "sizes": (1, 2)}  # JSON turns the tuple into a list


class Sums:
    """A rule that adds up the maps that it observes."""

    def __init__(self):
        self.state = {}

    def observe(self, features):
        self.state["sum"] = self.state.get("sum", 0) + features


def statistics(output, info=INFO):
    rule, seen = Sums(), []

    def maps():
        for value in (1.0, 2.0):
            seen.append(value)
            yield torch.tensor([value])

    observe(rule, maps(), output, info)
    return rule.state["sum"].item(), len(seen)


def test_statistics_are_computed_once(tmp_path):
    assert statistics(tmp_path / "o.json") == (3.0, 2)
    assert statistics(tmp_path / "o.json") == (3.0, 0)
    assert statistics(tmp_path / "o.json", INFO | {"method": "other"}) == (3.0, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\xff" * 8 + whole[8:],
        lambda whole: b"\0" * len(whole),
        lambda whole: whole.replace(b"sums", b"su\\s"),
    ],
    ids=["empty", "cut", "a huge header", "NUL", "no JSON"],
)
def test_damaged_statistics_are_computed_again(tmp_path, damage):
    output = tmp_path / "o.json"
    statistics(output)
    path = statistics_file(output)
    path.write_bytes(damage(path.read_bytes()))
    assert statistics(output) == (3.0, 2)
    assert statistics(output) == (3.0, 0)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"folder", "device", "link to itself"}))
def test_files_that_are_no_statistics_are_replaced(tmp_path, name):
    path = statistics_file(tmp_path / "o.json")
    WRITERS[name](path)
    assert statistics(tmp_path / "o.json") == (3.0, 2)
    assert not mark_of(path).exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_statistics_that_are_not_finite_are_computed_again(tmp_path, value):
    content = safetensors.torch.save({"sum": torch.tensor([value])}, {"info": json.dumps(INFO)})
    statistics_file(tmp_path / "o.json").write_bytes(content)
    assert statistics(tmp_path / "o.json") == (3.0, 2)


def test_a_folder_of_that_name_is_reported(tmp_path):
    os.mkdir(statistics_file(tmp_path / "o.json"))
    with pytest.raises(UserError, match=r"o\.json\.statistics'?: it is a folder"):
        statistics(tmp_path / "o.json")
