"""Statistics that wait beside the output: taken up where they fit, found anew where they do not."""

import pytest
import torch

from boxrefine_d2.pseudo_labels.observing import observe, statistics_file

INFO = {"method": "dino_seg", "sizes": (1, 2)}


class Sums:
    """A rule that adds up what it is shown."""

    def __init__(self):
        self.state = {"sum": torch.zeros(1)}

    def observe(self, value):
        self.state = {"sum": self.state["sum"] + value}


def seen(output, info=INFO):
    """The sum of 1 and 2, and how many maps were asked for."""
    asked = []
    rule = Sums()
    observe(rule, (asked.append(x) or x for x in (1, 2)), output, info)
    return rule.state["sum"].item(), len(asked)


def test_they_are_found_once(tmp_path):
    output = tmp_path / "o.json"
    assert seen(output) == (3, 2)
    assert seen(output) == (3, 0)
    assert seen(output, INFO | {"method": "other"}) == (3, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\xff" * 8 + whole[8:],
        lambda whole: b"\0" * len(whole),
        lambda whole: whole.replace(b"dino_seg", b"dino\\seg"),
    ],
    ids=["empty", "cut", "a huge header", "NUL", "no JSON"],
)
def test_damaged_ones_are_found_anew(tmp_path, damage):
    output = tmp_path / "o.json"
    seen(output)
    path = statistics_file(output)
    path.write_bytes(damage(path.read_bytes()))
    assert seen(output) == (3, 2)
    assert seen(output) == (3, 0)
