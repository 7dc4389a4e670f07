"""Charts of a training: losses, h's agreement with the pseudo-boxes, and the network's gradient."""

from collections.abc import Sequence

from markupsafe import Markup

from boxrefine_d2.refinement.phases import PhaseSchedule

from .curves import MEAN_OF, Phase, chart
from .rendering import render
from .run_folder import FinishedRun, read_metrics

# name in metrics.json -> title, explanation; {f} is the network that is refined
CHARTS = {
    "total_loss": ("total loss", "sum of the losses"),
    "loss_class": ("class loss", "object or no object"),
    "loss_l1": ("L1 box loss", "of h's boxes matched with pseudo-boxes"),
    "loss_giou": ("GIoU box loss", "of the same boxes"),
    "loss_preservation": ("preservation loss", "keeps {f} near its frozen copy"),
    "loss_relevance": ("relevance loss", "{f} follows CLIP's relevance"),
    "loss_area": ("area loss", "{f} shows a small area"),
    "loss_foreground": ("foreground loss", "the phrase matches what {f} shows"),
    "loss_background": ("background loss", "the phrase does not match what {f} hides"),
    "h_iou_with_pseudo_box": ("IoU of h with the pseudo-box", "best box, this batch"),
    "h_hits_pseudo_box": ("h hits the pseudo-box", "share with IoU ≥ 0.5, this batch"),
    "gradient_norm_first_block": ("gradient of {f}'s first block", "norm; above 0 if {f} learns"),
    "drift/flip_agreement": (
        "agreement with mirrored images",
        "mean IoU of the rule's boxes, without labels",
    ),
    "drift/area_ratio": ("area of the boxes", "geometric mean, relative to the frozen copy"),
    "drift/feature_shift": ("shift of the map", "relative to its length"),
    "drift/corloc": ("CorLoc of the same boxes", "percent; for the record, no limit reads it"),
}


def training_charts(
    runs: Sequence[FinishedRun], network: str = "f", *, phased: bool = True
) -> Markup:
    """Return a chart for each quantity that the runs logged, and their legend.

    Args:
        network: name of the network that learns.
        phased: True if h and the network learnt in turn.
    """
    logged = {run.seed: read_metrics(run.folder) for run in runs}
    iterations = runs[0].cfg.SOLVER.MAX_ITER
    schedule = PhaseSchedule.from_config(runs[0].cfg)
    phases = phase_bands(schedule, iterations) if phased else []
    charts = []
    for name, texts in CHARTS.items():
        title, why = (text.format(f=network) for text in texts)
        series = {
            seed: [(row["iteration"], row[name]) for row in rows if name in row]
            for seed, rows in logged.items()
        }
        drawing = chart(title, series, phases, iterations)
        if drawing:
            charts.append((title, why, drawing))
    return render(
        "shared/charts.html",
        period=runs[0].cfg.LOG_PERIOD,
        mean_of=MEAN_OF,
        seeds=[run.seed for run in runs],
        phased=phased,
        network=network,
        charts=charts,
    )


def phase_bands(schedule: PhaseSchedule, iterations: int) -> list[Phase]:
    """Return the schedule as ranges of one phase.

    >>> [(p.name, p.first, p.last) for p in phase_bands(PhaseSchedule(2, 3, 0), 5)]
    [('detector', 0, 2), ('refine', 2, 5)]
    """
    bands: list[Phase] = []
    for iteration in range(iterations):
        name = schedule(iteration)
        if bands and bands[-1].name == name:
            bands[-1] = Phase(name, bands[-1].first, iteration + 1)
        else:
            bands.append(Phase(name, iteration, iteration + 1))
    return bands
