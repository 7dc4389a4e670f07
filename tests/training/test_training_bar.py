"""Progress bar of a training if stderr is not a terminal: lines with rate and time left."""

import io
import re
import types

import pytest

from boxrefine_d2.training.hooks import ProgressBar


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def bar(monkeypatch, seconds, steps=3, *, start=0, total=3, stderr=None):
    """Return the text that a training of `steps` steps writes to stderr."""
    written = stderr or io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    hook = ProgressBar(seconds)
    hook.trainer = types.SimpleNamespace(
        start_iter=start, max_iter=total, progress=lambda: {"loss": "0.500"}
    )
    hook.before_train()
    for _ in range(steps):
        hook.after_step()
    hook.after_train()
    return written.getvalue()


def test_a_line_at_once_one_when_the_time_has_passed_and_one_at_the_end(monkeypatch):
    every = bar(monkeypatch, seconds=0).splitlines()
    assert [line.split(" [")[0] for line in every] == [
        "0 %, 0 of 3",
        "33 %, 1 of 3",
        "67 %, 2 of 3",
        "100 %, 3 of 3",
    ]
    assert re.fullmatch(r"67 %, 2 of 3 \[[\d:]+<[\d:]+, .*it/s, loss=0.500\]", every[2])
    seldom = bar(monkeypatch, seconds=1e9).splitlines()
    assert [line.split(" [")[0] for line in seldom] == ["0 %, 0 of 3", "100 %, 3 of 3"]


def test_a_resumed_run_counts_from_where_it_starts(monkeypatch):
    lines = bar(monkeypatch, seconds=0, steps=1, start=2).splitlines()
    assert lines[0].startswith("67 %, 2 of 3") and lines[1].startswith("100 %, 3 of 3")


def test_a_run_that_stops_early_does_not_say_that_it_is_whole(monkeypatch):
    assert "100 %" not in bar(monkeypatch, seconds=0, steps=2)


def test_a_terminal_has_one_line(monkeypatch):
    text = bar(monkeypatch, seconds=0, stderr=_Terminal())
    assert text.count("\n") == 1 and "\r" in text and "3/3" in text


@pytest.mark.parametrize("terminal", [io.StringIO, _Terminal])
def test_other_processes_are_silent(monkeypatch, terminal):
    monkeypatch.setattr("boxrefine_d2.training.hooks.comm.is_main_process", lambda: False)
    assert bar(monkeypatch, seconds=0, stderr=terminal()) == ""
