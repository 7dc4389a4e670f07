"""A family with one planted fault per try, in the order of `PLANTS`.

As a program, the module runs `make fuzz` for this family.
"""

import os
import subprocess
import sys
import time

from fuzz import child, families, pool, run
from fuzz.child import run_main
from fuzz.family import Family, Try
from fuzz.outcomes import OK, Outcome
from fuzz.sandbox import ESCAPE

MEMORY_MIB = 400
PLANTS = {
    "a result": "ok",
    "a refusal": "refused",
    "a traceback": "traceback",
    "a traceback that is printed": "traceback",
    "a crash": "signal",
    "an end": "signal",
    "a hang": "hang",
    "memory": "memory",
    "code": "code ran",
    "code of a file beside": "code ran",
    "a process": "process left",
    "an input changed": "file left",
    "a file outside": "file left",
    "a file above all": "file left",
    "a temporary file": "file left",
    "another exit code": "wrong exit code",
    "two lines": "not one line",
    "no line": "not one line",
    "a wrong result": "wrong result",
    "a result after all": "ok",
}


def say(text):
    sys.stderr.write(f"{text}\n")


class Planted(Family):
    """Family whose N-th try has the N-th planted fault."""

    name = "planted"
    description = "planted faults"
    limit = 3.0
    per_child = 4

    def draw(self, draw, box):
        title = list(PLANTS)[self._number(box)]
        (box.given / "input").touch()
        return Try(title, lambda: self._act(title, box), title)

    @staticmethod
    def _number(box):
        return int(box.root.name.rpartition("-")[2])

    def _act(self, title, box):
        if title == "a wrong result":
            return Outcome("wrong result", "planted")
        return run_main(lambda _: self._command(title, box), [])

    def _command(self, title, box):
        acts = {
            "a traceback": lambda: {}["planted"],
            "a traceback that is printed": lambda: say("Traceback (most recent call last)\nx"),
            "a crash": os.abort,
            "an end": lambda: os._exit(3),
            "a hang": lambda: time.sleep(60),
            "memory": lambda: len(bytearray(os.urandom(1)) * MEMORY_MIB * 2**20),
            "code": box.mark.touch,
            "code of a file beside": lambda: (box.given / "input.ran").touch(),
            "a process": lambda: subprocess.Popen(["sleep", "60"]),
            "an input changed": lambda: (box.given / "input").write_text("x"),
            "a file outside": lambda: (box.root / "here" / "x").touch(),
            "a file above all": lambda: (box.root.parent / f"{ESCAPE}.txt").touch(),
            "a temporary file": lambda: (box.out / ".o.json.12.tmp").touch(),
            "two lines": lambda: say("error: one\nerror: two"),
        }
        if title == "a refusal":
            say("working \r   error: 'x' is wrong; give y")
        acts.get(title, lambda: None)()
        if title == "a file outside":
            (box.out / "allowed").touch()
        return {"a refusal": 2, "two lines": 2, "no line": 2, "another exit code": 1}.get(title, 0)


if __name__ == "__main__":
    assert OK in PLANTS.values()
    child.MEMORY_MIB = child._peak_mib() + MEMORY_MIB // 4
    pool.Pool.grace = 0.3
    families.FAMILIES.clear()
    families.FAMILIES["planted"] = ("planted", "Planted")
    run.family_of = lambda name: Planted()
    sys.exit(run.main([*sys.argv[1:], "--tries", str(len(PLANTS)), "--output", "out"]))
