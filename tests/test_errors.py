"""Ends of a command that cannot go on: the line that it prints and its exit code."""

import os
import subprocess
import sys

import pytest
from tqdm import tqdm

from boxrefine_d2.errors import UserError, run_command

PROGRAM = """
import sys
from boxrefine_d2.errors import run_command
def main():
    for number in range(100_000):
        print(number)
sys.exit(run_command(main))
"""


def test_a_user_error_is_one_line_and_code_2(capsys):
    def main():
        raise UserError("a value\n  is wrong")

    assert run_command(main) == 2
    assert capsys.readouterr().err == "error: a value is wrong\n"


def test_an_error_line_starts_after_a_progress_bar(capsys):
    def main():
        bar = tqdm(range(3), "work", mininterval=0)
        rows = iter(bar)
        next(rows)
        raise UserError("a value is wrong")

    assert run_command(main) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: a value is wrong"


def test_a_bug_is_not_caught():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)


@pytest.mark.parametrize("encode", [str, lambda path: str(path).encode()], ids=["text", "bytes"])
def test_a_folder_that_was_removed_meanwhile_is_one_line(tmp_path, encode, capsys):
    gone = tmp_path / "gone" / "events"
    assert run_command(lambda: os.open(encode(gone), os.O_WRONLY | os.O_CREAT)) == 2
    stderr = capsys.readouterr().err
    assert (
        f"cannot open {str(gone)!r}: its folder is not there" in stderr and stderr.count("\n") == 1
    )


def test_a_missing_file_in_an_existing_folder_is_a_bug(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_command(lambda: os.open(tmp_path / "missing", os.O_RDONLY))


def test_output_that_nobody_reads_any_more_is_no_error():
    command = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout.readline() == b"0\n"
    command.stdout.close()
    assert command.stderr.read() == b""
    assert command.wait() == 141
