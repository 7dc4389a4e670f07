"""All findings of a report, in its order."""

from .commands import TORCH_PAIR, install_again
from .data import data_findings
from .devices import cpu_findings, cuda_findings
from .finding import OK, Finding
from .packages import optional_findings, required_findings
from .weights import weight_findings


def examine() -> list[Finding]:
    """Return findings about packages, devices, weights and data.

    Weights and data are checked only if all required packages work, because the code that checks
    them needs these packages.
    """
    required = required_findings()
    works = {finding.name for finding in required if finding.state == OK}
    findings = [*required, *optional_findings(), *cpu_findings()]
    if "torch" in works:
        findings += cuda_findings(install_again(*TORCH_PAIR))
    if len(works) == len(required):
        findings += weight_findings()
        findings += data_findings()
    return findings
