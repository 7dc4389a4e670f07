"""`make bench`: the package's speed relative to the published methods, measured on this machine.

Every benchmark has its own baseline (`published*.py`), runs the baseline and ours on the same
inputs in turns, and checks that the results agree. The program prints the table and writes the
numbers to output/bench.json. A missed target is only reported, because other work on the machine
can cause it. A failed check gives exit code 1.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

import cad_train
import coco_eval
import cuts
import grounding_eval
import local_steps
import lost_cpu
import machine
import open_vocabulary
import refine_step
import region_step
import relevance
import what_is_where
import wsol_eval
from tabulate import tabulate
from timing import Result

from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.evaluation import write_json

BENCHMARKS: dict[str, Callable[[], Result]] = {
    "lost_cpu_fp32": lost_cpu.fp32,
    "lost_cpu_bf16": lost_cpu.bf16,
    "tokencut_cpu_bf16": cuts.tokencut_bf16,
    "maskcut_cpu_bf16": cuts.maskcut_bf16,
    "eigenvector_900": cuts.eigenvector_900,
    "eigenvector_3600": cuts.eigenvector_3600,
    "refine_step": refine_step.refine_step,
    "region_step": region_step.region_step,
    "coco_eval": coco_eval.coco_eval,
    "cad_train": cad_train.cad_train,
    "relevance": relevance.relevance,
    "grounding_eval": grounding_eval.grounding_eval,
    "wwbl": what_is_where.what_is_where,
    "wsol_eval": wsol_eval.wsol_eval,
    "arm": local_steps.arm,
    "sgrm": local_steps.sgrm,
    "representer": local_steps.representer,
    "segment": open_vocabulary.segment,
    "name_boxes": open_vocabulary.name_boxes,
    "miou": open_vocabulary.miou,
}
HEADERS = ("benchmark", "ms per", "published", "ours", "ratio", "quartiles", "target", "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(lambda: _bench(argv))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(prog="run.py", description="Ratios published / ours, measured here.")
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARKS,
        metavar="NAME",
        help=f"run this benchmark only; may be repeated: {', '.join(BENCHMARKS)}",
    )
    parser.add_argument(
        "--output",
        default="output/bench.json",
        metavar="FILE.json",
        help="file for the numbers (default: %(default)s)",
    )
    return parser.parse_args(argv)


def _bench(argv: Sequence[str] | None) -> int:
    args = _parse(argv)
    logging.disable(logging.WARNING)  # the networks warn of random weights, which are intended here
    here = machine.describe()
    print("; ".join(f"{key} {value}" for key, value in here.items()))
    results = {}
    for name in args.only or BENCHMARKS:
        print(f"\n{name} ...", flush=True)
        results[name] = BENCHMARKS[name]()
        for line in [*results[name].notes, *results[name].failed]:
            print(f"  {line}")
    print("\nmedians of pairs that ran one right after the other")
    print(tabulate([_row(name, result) for name, result in results.items()], HEADERS))
    write_json(args.output, _record(here, results))
    print(f"written to {args.output}")
    return int(any(result.failed for result in results.values()))


def _row(name: str, result: Result) -> tuple[str, ...]:
    lower, upper = result.pairs.spread()
    return (
        name,
        result.unit,
        f"{result.published_ms:.0f} ms",
        f"{result.ours_ms:.0f} ms",
        f"{result.ratio:.2f} x",
        f"{lower:.2f} - {upper:.2f}",
        f"{result.target:.1f} x" if result.target else "-",
        result.verdict,
    )


def _record(here: dict[str, object], results: dict[str, Result]) -> dict[str, object]:
    ratios = {
        name: {
            "ratio": round(result.ratio, 3),
            "ours_ms": round(result.ours_ms, 2),
            "published_ms": round(result.published_ms, 2),
        }
        for name, result in results.items()
    }
    return {"machine": here, "ratios": ratios}


if __name__ == "__main__":
    sys.exit(main())
