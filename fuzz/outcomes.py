"""The outcome of a try, judged by exit code and output."""

import re
from dataclasses import asdict, dataclass
from typing import Any

OK, REFUSED = "ok", "refused"
GOOD = (OK, REFUSED)
TRACEBACK = "traceback"
CODE = "wrong exit code"  # neither 0 nor 2
LINES = "not one line"  # exit code 2 without exactly one line that names the reason
WRONG = "wrong result"  # a check of the family failed: a lost image, live markup, other bytes
SIGNAL = "signal"
HANG = "hang"
MEMORY = "memory"
CODE_RAN = "code ran"
PROCESS = "process left"
FILE = "file left"
BAD = (TRACEBACK, CODE, LINES, WRONG, SIGNAL, HANG, MEMORY, CODE_RAN, PROCESS, FILE)

_NO_MEMORY = re.compile(
    r"MemoryError|can't allocate memory|not enough memory|Cannot allocate memory"
)
_NUMBER = re.compile(r"(?<!\w)[-+.]?[0-9]+")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # escape sequences of progress bars
_FRAME = re.compile(r'File "[^"]*?((?:boxrefine_d2|tools)/[^"]+)", line (\d+)')


@dataclass(frozen=True)
class Outcome:
    """End of a try.

    Attributes:
        kind: one of `GOOD` or `BAD`.
        detail: one line: the last output, or the fault.
        peak_mib: peak memory of the process in MiB.
        seconds: duration in seconds.
    """

    kind: str
    detail: str = ""
    peak_mib: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """True if the outcome is a fault of the package."""
        return self.kind in BAD

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dict."""
        return asdict(self)


def judge(code: int, text: str) -> Outcome:
    """Return the outcome for a command's exit code and all its output.

    >>> judge(2, "error: --data 'x' does not exist").kind
    'refused'
    >>> judge(2, "usage: discover.py").kind
    'not one line'
    """
    text = _ESCAPES.sub("", text)
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    if lines and lines[-1].startswith("stage "):
        lines.pop()  # a pipeline names the failed stage after its error
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback (most recent call last)" in text:
        return Outcome(MEMORY if _NO_MEMORY.search(lines[-1]) else TRACEBACK, _place(text, lines))
    if errors and _NO_MEMORY.search(errors[-1]):
        return Outcome(MEMORY, errors[-1])
    if code == 0:
        return Outcome(OK, lines[-1] if lines else "")
    if code != 2:
        return Outcome(CODE, f"exit code {code}: {lines[-1] if lines else 'no output'}")
    if len(errors) != 1 or lines[-1] != errors[0]:
        return Outcome(LINES, f"{len(errors)} error lines; last: {lines[-1] if lines else ''}")
    return Outcome(REFUSED, errors[0])


def signature(outcome: Outcome) -> str:
    """Return the text that outcomes with one cause share.

    It is the place and class of a traceback, or the detail without numbers and quoted texts.
    """
    if outcome.kind == TRACEBACK:
        place, _, raised = outcome.detail.partition(" | ")
        return f"{outcome.kind}: {place} | {raised.partition(':')[0]}"
    plain = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", outcome.detail)
    return f"{outcome.kind}: {_NUMBER.sub('0', plain)}"[:160]


def _place(text: str, lines: list[str]) -> str:
    """Return the last place of a traceback in the package or tools, and the exception's line."""
    frames = _FRAME.findall(text[text.rindex("Traceback (most recent call last)") :])
    where = ":".join(frames[-1]) if frames else "elsewhere"
    after = text[text.rindex("Traceback (most recent call last)") :].splitlines()
    raised = [x for x in after[1:] if x and not x.startswith((" ", "\t"))]
    return f"{where} | {' '.join((raised[0] if raised else lines[-1]).split())[:300]}"
