"""Progress bars: one line in a terminal, new lines elsewhere, nothing for short work."""

import io
import re

import pytest

from boxrefine_d2.progress import progress_bar, with_progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_name_the_work_and_its_rate(capsys):
    with progress_bar("search", total=2, unit="files", delay=0, seconds=0) as bar:
        bar.update()
        bar.update()
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.startswith("search:   0 %, 0 of 2 [")
    assert re.fullmatch(r"search:  50 %, 1 of 2 \[[\d:]+<[\d:]+, .*files/s\]", second)
    assert third.startswith("search: 100 %, 2 of 2 [")


def test_without_a_total_the_line_counts(capsys):
    with progress_bar("search", unit="files", delay=0, seconds=0) as bar:
        bar.update(7)
    assert re.search(
        r"^search: 7 files \[[\d:]+, .* files/s\]$", capsys.readouterr().err, re.MULTILINE
    )


def test_work_done_before_counts_as_done(capsys):
    with progress_bar(total=4, done=3, delay=0, seconds=0) as bar:
        bar.update()
    assert [line.split(" [")[0] for line in capsys.readouterr().err.splitlines()] == [
        "75 %, 3 of 4",
        "100 %, 4 of 4",
    ]


@pytest.mark.parametrize("terminal", [io.StringIO, _Terminal])
def test_short_work_is_silent(monkeypatch, terminal):
    written = terminal()
    monkeypatch.setattr("sys.stderr", written)
    assert list(with_progress("abc", "read")) == ["a", "b", "c"]
    assert written.getvalue().strip() == ""


def test_a_terminal_has_one_line(monkeypatch):
    written = _Terminal()
    monkeypatch.setattr("sys.stderr", written)
    with progress_bar("read", total=3, delay=0) as bar:
        bar.update(3)
    assert written.getvalue().count("\n") == 1 and "3/3" in written.getvalue()


def test_a_silent_process_writes_nothing(capsys):
    with progress_bar("read", total=1, delay=0, seconds=0, shown=False) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


def test_items_of_a_generator_pass_with_a_total(capsys):
    assert list(with_progress((n for n in range(3)), "count", 3)) == [0, 1, 2]


def test_a_bar_within_another_has_lines_without_escapes(capsys):
    with progress_bar("outer", total=2, delay=0, seconds=0) as outer:
        outer.update()
        with progress_bar("inner", total=1, delay=0, seconds=0) as inner:
            inner.update()
    said = capsys.readouterr().err
    assert "inner: 100 %" in said and "\x1b" not in said
    assert all(line.startswith(("outer: ", "inner: ")) for line in said.splitlines())
