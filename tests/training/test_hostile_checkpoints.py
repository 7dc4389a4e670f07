"""A run starts from, or continues, only valid files of its job.

Any other file in OUTPUT_DIR or MODEL.WEIGHTS is refused in one line.
"""

import os

import pytest
import torch
from torch import nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.training.checkpoint import SafeCheckpointer
from tests.networks.hostile_files import WRITERS, mark_of, right_state
from tests.networks.test_hostile_files import RIGHT, Small


class Counts:
    """Part of a checkpoint whose state is one number."""

    count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = int(state["count"])


@pytest.fixture
def checkpointer(tmp_path):
    model = Small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return SafeCheckpointer(model, str(tmp_path), optimizer=optimizer, counts=Counts())


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_checkpoint_is_right_or_refused_in_a_line(checkpointer, tmp_path, name):
    path = tmp_path / "model_final.pth"
    WRITERS[name](path)
    if name in RIGHT:
        checkpointer.load(str(path))
        found = checkpointer.model.state_dict()
        assert all(found[key].equal(value) for key, value in right_state().items())
    else:
        with pytest.raises(UserError, match=r"^[^\n]{1,1500}$"):
            checkpointer.load(str(path))
    assert not mark_of(path).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "last_checkpoint names '', which is no checkpoint"),
        (b"gone.pth", "names 'gone.pth', which is no checkpoint in its folder"),
        (b"../model_final.pth", r"names '\.\./model_final\.pth', which is no checkpoint"),
        (b"/etc/passwd", "names '/etc/passwd', which is no checkpoint"),
        (b".", "names '.', which is no checkpoint"),
        (b"a\0b", "which is no checkpoint"),
        (b"x" * 5000, "which is no checkpoint"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
    ],
)
def test_what_names_the_last_checkpoint_is_looked_at(checkpointer, tmp_path, content, message):
    (tmp_path / "last_checkpoint").write_bytes(content)
    with pytest.raises(UserError, match=message):
        checkpointer.resume_or_load("", resume=True)


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_in_place_of_last_checkpoint(checkpointer, tmp_path, what):
    mark = tmp_path / "last_checkpoint"
    mark.mkdir() if what == "folder" else os.mkfifo(mark)
    with pytest.raises(UserError, match=f"is a {what}"):
        checkpointer.resume_or_load("", resume=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": 3},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"optimizer": {"state": {}, "param_groups": [{"params": [0, 1, 2]}]}},
        {"counts": None},
        {"counts": {}},
        {"counts": {"count": "many"}},
    ],
    ids=str,
)
def test_what_another_job_wrote_is_not_continued(checkpointer, tmp_path, changes):
    checkpointer.save("model_0000001")
    path = tmp_path / "model_0000001.pth"
    torch.save(torch.load(path) | changes, path)
    with pytest.raises(
        UserError, match=r"model_0000001.pth cannot be continued here .*another job"
    ):
        checkpointer.resume_or_load("", resume=True)


def test_weights_alone_are_not_continued(checkpointer, tmp_path):
    checkpointer.save("model_0000001")
    path = tmp_path / "model_0000001.pth"
    torch.save({"model": torch.load(path)["model"]}, path)
    with pytest.raises(UserError, match="cannot be continued: it holds no state of its optimizer"):
        checkpointer.resume_or_load("", resume=True)
    checkpointer.resume_or_load(str(path), resume=False)


def test_a_pipe_that_is_named_as_the_last_is_a_pipe(checkpointer, tmp_path):
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    os.mkfifo(tmp_path / "model_final.pth")
    with pytest.raises(UserError, match="is a pipe or a device"):
        checkpointer.resume_or_load("", resume=True)


def test_a_compiled_model_fits(checkpointer, tmp_path):
    torch.save({"model": {f"_orig_mod.{k}": v for k, v in right_state().items()}}, tmp_path / "c")
    checkpointer.load(str(tmp_path / "c"))
    found = checkpointer.model.state_dict()
    assert all(found[key].equal(value) for key, value in right_state().items())


def test_nothing_but_the_counter_is_missing_of_norms(tmp_path):
    """Check that the reader keeps the versions of modules.

    Without them a norm's counter would be reported as missing or be made anew.
    """
    model = nn.Sequential(nn.BatchNorm1d(3))
    SafeCheckpointer(model, str(tmp_path)).save("a")
    again = SafeCheckpointer(nn.Sequential(nn.BatchNorm1d(3)), str(tmp_path))
    again.resume_or_load("", resume=True)
    assert again.missing == ()
