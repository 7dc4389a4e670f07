"""Statistics that wait beside an output are used if they are whole and of the same settings; else they are made anew."""

import os

import pytest
import safetensors.torch
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.observing import observe, statistics_file
from tests.features.hostile_files import WRITERS, mark_of

INFO = {"method": "sums"}


class Sums:
    """A rule that adds up what it sees."""

    def __init__(self):
        self.state = {}

    def observe(self, features):
        self.state["sum"] = self.state.get("sum", 0) + features


def statistics(output):
    rule, seen = Sums(), []

    def maps():
        for value in (1.0, 2.0):
            seen.append(value)
            yield torch.tensor([value])

    observe(rule, maps(), output, INFO)
    return rule.state["sum"].item(), len(seen)


def test_they_are_made_once(tmp_path):
    assert statistics(tmp_path / "o.json") == (3.0, 2)
    assert statistics(tmp_path / "o.json") == (3.0, 0)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"folder", "device", "link to itself"}))
def test_what_is_none_is_made_anew(tmp_path, name):
    path = statistics_file(tmp_path / "o.json")
    WRITERS[name](path)
    assert statistics(tmp_path / "o.json") == (3.0, 2)
    assert not mark_of(path).exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_made_anew(tmp_path, value):
    content = safetensors.torch.save({"sum": torch.tensor([value])}, {"info": '{"method": "sums"}'})
    statistics_file(tmp_path / "o.json").write_bytes(content)
    assert statistics(tmp_path / "o.json") == (3.0, 2)


def test_a_folder_in_their_place_is_named(tmp_path):
    os.mkdir(statistics_file(tmp_path / "o.json"))
    with pytest.raises(UserError, match=r"o\.json\.statistics'?: it is a folder"):
        statistics(tmp_path / "o.json")
