"""All findings, in the order of the report."""

from .commands import TORCH_PAIR, install_again
from .data import data_facts
from .devices import cpu_facts, cuda_facts
from .fact import OK, Fact
from .packages import optional_facts, required_facts
from .weights import weight_facts


def examine() -> list[Fact]:
    """Looks at packages, devices, weights and data.

    The last two are looked at by code that needs the required packages, so only if all of these work.
    """
    required = required_facts()
    works = {fact.name for fact in required if fact.state == OK}
    facts = [*required, *optional_facts(), *cpu_facts()]
    if "torch" in works:
        facts += cuda_facts(install_again(*TORCH_PAIR))
    if len(works) == len(required):
        facts += weight_facts()
        facts += data_facts()
    return facts
