"""The tables of phrases in docs/results/small_world.md.

    python experiments/grounding.py --seeds 0,1,2           # run the pipeline and keep the results
    python experiments/grounding.py --seeds 0 clip=FOLDER   # with another CLIP

Each seed is a run of configs/pipelines/grounding.yaml, which skips completed stages. The results
are kept in experiments/small_world/grounding.json: percentages, and one hit or miss for each phrase
of each image. experiments/small_world.py writes the page.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kept_results import (
    NOT_RUN,
    ROOT,
    interval,
    keep_seed,
    markdown,
    read_kept,
    run_list,
    run_pipeline,
    seed_count,
)

from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.evaluation import sources
from boxrefine_d2.report import Estimate, mean_with_interval, paired_gain
from boxrefine_d2.report.grounding_run import read_grounding_run

KEPT = Path(__file__).parent / "small_world" / "grounding.json"
PLAN = "configs/pipelines/grounding.yaml"
METRICS = {"pointing": "pointing", "box_acc": "box accuracy"}

Finder = tuple[str, str]  # a stage of the pipeline, and a source in its results
CLIP, CENTRE, RANDOM = "CLIP's relevance map", "the image's centre", "a random point and box"
G, REFINED, H, SHUFFLED = "*g*", "*g^h*", "*h*", "*g* with phrases of other images"
# Title -> who localises the phrases; the last three are controls.
FINDERS: dict[str, Finder] = {
    CLIP: ("train", sources.CLIP),
    G: ("train", sources.G),
    REFINED: ("refine", sources.REFINED),
    H: ("refine", sources.DETECTOR),
    SHUFFLED: ("train", sources.SHUFFLED),
    CENTRE: ("train", sources.CENTRE),
    RANDOM: ("train", sources.RANDOM),
}
# Pairs that are compared phrase by phrase: the second minus the first.
PAIRS = ((SHUFFLED, G), (CENTRE, G), (RANDOM, G), (CLIP, G), (G, REFINED), (G, H))
# Title of each variant of refinement -> its stage. Boxes enclose pixels above 0.5 of the maximum,
# the papers' threshold.
REFINEMENTS = {
    "as the paper does it": "half",
    "targets never united": "no_union",
    "without the localisation losses": "no_losses",
    "*k* = 1": "k1_score",
}
# Title -> rows of the table that shows each seed.
SEED_BY_SEED: dict[str, Finder] = {
    G: FINDERS[G],
    REFINED: FINDERS[REFINED],
    "*g*, boxes at 0.5": ("half", sources.BEFORE),
    **{title: (stage, sources.REFINED) for title, stage in REFINEMENTS.items()},
}
# Columns for each variant of refinement: the metric, the source and its title.
SHOWN = (
    ("pointing", sources.REFINED, REFINED),
    ("box_acc", sources.REFINED, REFINED),
    ("box_acc", sources.DETECTOR, H),
)


def run(seeds: Sequence[str], output: Path, changes: Sequence[str] = ()) -> None:
    """Run the pipeline for each seed and keep the results of a seed as soon as it is complete.

    Args:
        seeds: seeds to run.
        output: output directory of the pipelines.
        changes: settings of the pipeline, KEY=VALUE.
    Raises: UserError for a run that failed.
    """
    for seed in seeds:
        folder = output / f"seed_{seed}"
        of_seed = run_pipeline(PLAN, [*changes, f"seed={seed}", f"folder={folder}"])
        of_seed["stages"] = {
            stage: _stage(folder / stage, sources) for stage, sources in _sources().items()
        }
        keep_seed(KEPT, seed, of_seed)


def _sources() -> dict[str, set[str]]:
    """Return the sources of each stage that a table shows."""
    shown = [(stage, source) for stage in REFINEMENTS.values() for _, source, _ in SHOWN]
    sources: dict[str, set[str]] = {}
    for stage, source in (*FINDERS.values(), *SEED_BY_SEED.values(), *shown):
        sources.setdefault(stage, set()).add(source)
    return sources


def _stage(folder: Path, sources: Iterable[str]) -> dict[str, Any]:
    """Return the results of a stage for each data set.

    Returns: percentages and counts of results.json, the hits of the given sources, and the image of
        each phrase.
    """
    run = read_grounding_run(ROOT / folder)
    datasets = run.results["datasets"]
    for name, phrases in run.hits.items():
        datasets[name]["images"] = " ".join(map(str, phrases.images))
        datasets[name]["hits"] = {
            metric: {
                source: "".join(str(int(hit)) for hit in hits)
                for source, hits in sorted(each.items())
                if source in sources
            }
            for metric, each in phrases.by_metric.items()
        }
    return datasets


def tables() -> str:
    """Return the tables: all sources and controls, their differences, variants of refinement."""
    seeds = read_kept(KEPT)["seeds"]
    if not seeds:
        return NOT_RUN
    first = next(iter(seeds.values()))["stages"]["train"]
    sizes = [_size(name, of_data["phrases"]) for name, of_data in first.items()]
    each = run_list((f"seed {seed}", of_seed) for seed, of_seed in seeds.items())
    columns = [(name, metric) for name in first for metric in METRICS]
    return "\n\n".join(
        [
            _finder_table(seeds, columns),
            "Differences in points, phrase by phrase:",
            _difference_table(seeds, columns),
            "Variants of refinement, with boxes at 0.5 of the maximum as in the papers:",
            _refinement_table(seeds, list(first)),
            "Seed by seed, in percent of the phrases:",
            _seed_table(seeds, list(first)),
            f"{', '.join(sizes)}; {seed_count(seeds)}: {each}.",
        ]
    )


def _size(name: str, counts: Mapping[str, int]) -> str:
    return f"`{name}` has {counts['evaluated']} phrases of {counts['images']} images"


def _finder_table(seeds: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> str:
    rows = [
        [title, *(_rate(seeds, finder, *column) for column in columns)]
        for title, finder in FINDERS.items()
    ]
    return markdown(["", *(f"{METRICS[metric]}, `{name}`" for name, metric in columns)], rows)


def _difference_table(seeds: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> str:
    rows = [
        [
            f"{after} minus {before}",
            *(_gain(seeds, FINDERS[before], FINDERS[after], *column) for column in columns),
        ]
        for before, after in PAIRS
    ]
    return markdown(["", *(f"{METRICS[metric]}, `{name}`" for name, metric in columns)], rows)


def _refinement_table(seeds: Mapping[str, Any], names: Sequence[str]) -> str:
    columns = [(name, *shown) for name in names for shown in SHOWN]
    heads = [f"{METRICS[metric]} of {title}, `{name}`" for name, metric, _, title in columns]
    rows = [
        [
            title,
            *(_rate(seeds, (stage, source), name, metric) for name, metric, source, _ in columns),
        ]
        for title, stage in REFINEMENTS.items()
    ]
    return markdown(["", *heads], rows)


def _seed_table(seeds: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return a table with the phrases without a box and with a right box, for each seed."""
    rows = []
    for title, (stage, source) in SEED_BY_SEED.items():
        row = [title]
        for name in names:
            results = [of_seed["stages"][stage][name] for of_seed in seeds.values()]
            row += [
                _each(
                    100 * x["phrases"][f"without_box_{source}"] / x["phrases"]["evaluated"]
                    for x in results
                ),
                _each(x["box_acc"][source] for x in results),
            ]
        rows.append(row)
    heads = [
        f"{rate}, `{name}`" for name in names for rate in ("without a box", METRICS["box_acc"])
    ]
    return markdown(["", *heads], rows)


def _each(percents: Iterable[float]) -> str:
    return ", ".join(f"{percent:.1f}" for percent in percents)


def _rate(seeds: Mapping[str, Any], finder: Finder, name: str, metric: str) -> str:
    hits = _hits(seeds, finder, name, metric)
    return "–" if hits is None else _shown(mean_with_interval(hits, images=_images(seeds, name)))


def _gain(seeds: Mapping[str, Any], before: Finder, after: Finder, name: str, metric: str) -> str:
    pair = [_hits(seeds, finder, name, metric) for finder in (before, after)]
    if any(hits is None for hits in pair):
        return "–"
    return _shown(paired_gain(*pair, images=_images(seeds, name)), signed=True)


def _hits(seeds: Mapping[str, Any], finder: Finder, name: str, metric: str) -> np.ndarray | None:
    """Return hits as 0 or 1, (S, N) for S seeds and N phrases.

    Returns: None for a source without this metric, e.g. boxes have no point.
    """
    stage, source = finder
    hits = [of_seed["stages"][stage][name]["hits"][metric] for of_seed in seeds.values()]
    if any(source not in of_seed for of_seed in hits):
        return None
    return np.array([[int(hit) for hit in of_seed[source]] for of_seed in hits])


def _images(seeds: Mapping[str, Any], name: str) -> list[int]:
    """Return the image number of each phrase, (N,), the same for all seeds and stages."""
    of_seed = next(iter(seeds.values()))
    return [int(number) for number in of_seed["stages"]["train"][name]["images"].split()]


def _shown(estimate: Estimate, signed: bool = False) -> str:
    return interval(estimate.to_json(), signed)


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="grounding.py", description=__doc__)
    parser.add_argument("--seeds", required=True, metavar="N[,N...]", help="seeds to run")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/small_world/grounding"),
        metavar="DIR",
        help="output directory of the pipelines (default: %(default)s)",
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings of the pipeline, e.g. clip=FOLDER",
    )
    args: argparse.Namespace = parser.parse_args()
    return run_command(lambda: run(args.seeds.split(","), args.output, args.changes))


if __name__ == "__main__":
    sys.exit(main())
