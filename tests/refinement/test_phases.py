import pytest

from boxrefine_d2.refinement.phases import PhaseSchedule
from boxrefine_d2.training.setup import load_config


def segments(schedule, iterations):
    """Return [(phase, number of iterations)] in order."""
    runs = []
    for iteration in range(iterations):
        phase = schedule(iteration)
        if runs and runs[-1][0] == phase:
            runs[-1][1] += 1
        else:
            runs.append([phase, 1])
    return [tuple(segment) for segment in runs]


def test_paper_profile_fits_h_once_and_never_returns():
    cfg = load_config("configs/lost_refine.yaml", [])
    schedule = PhaseSchedule.from_config(cfg)
    assert segments(schedule, cfg.SOLVER.MAX_ITER) == [("detector", 3000), ("refine", 10000)]


def test_release_profile_equals_the_rule_in_epochs():
    cfg = load_config("configs/lost_refine_release.yaml", [])
    schedule = PhaseSchedule.from_config(cfg)
    per_epoch, warmup, box_epochs, f_epochs = 62, 10, 10, 45
    for iteration in range(70 * per_epoch):
        epoch = iteration // per_epoch
        trains_h = epoch < warmup or (epoch - warmup) % (box_epochs + f_epochs) >= f_epochs
        assert schedule(iteration) == ("detector" if trains_h else "refine")
    assert 70 * per_epoch == cfg.SOLVER.MAX_ITER
    assert segments(schedule, 4340) == [
        ("detector", 620),
        ("refine", 2790),
        ("detector", 620),
        ("refine", 310),
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (PhaseSchedule(0, 3, 0), [("refine", 10)]),
        (PhaseSchedule(4, 0, 0), [("detector", 10)]),
        (
            PhaseSchedule(1, 2, 3),
            [("detector", 1), ("refine", 2), ("detector", 3), ("refine", 2), ("detector", 2)],
        ),
    ],
)
def test_edges(schedule, expected):
    assert segments(schedule, 10) == expected
