"""What a command says when it cannot go on."""

import subprocess
import sys

import pytest

from boxrefine_d2.errors import UserError, run_command

PROGRAM = """
import sys
from boxrefine_d2.errors import run_command
def main():
    for number in range(100_000):
        print(number)
sys.exit(run_command(main))
"""


def test_a_mistake_is_one_line_and_2(capsys):
    def main():
        raise UserError("a value\n  is wrong")

    assert run_command(main) == 2
    assert capsys.readouterr().err == "error: a value is wrong\n"


def test_a_bug_passes():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)


def test_output_that_nobody_reads_any_more_is_no_error():
    command = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout.readline() == b"0\n"
    command.stdout.close()
    assert command.stderr.read() == b""
    assert command.wait() == 141
