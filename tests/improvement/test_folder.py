"""The record of an improvement: no other improvement replaces its results."""

import json
from dataclasses import replace

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.improvement import Improvement, Network, parse_settings, settle


def with_results(folder):
    """Make a file of a stage, so that the folder holds a result."""
    (folder / "before").mkdir(parents=True, exist_ok=True)
    (folder / "before" / "boxes.json").write_text("{}")
    return folder


RECORDS = [
    {
        "image_id": i,
        "relative_name": f"{i}.png",
        "file_name": f"scenes:val/{i:06d}",
        "height": 64,
        "width": 96,
    }
    for i in range(9)
]


@pytest.fixture
def plan():
    settings = parse_settings("lost", ["refine_iters=3"])
    return Improvement("folder:x", 9, Network("dino_mini", ""), "lost", 1, settings)


def changed(plan, *pairs):
    return replace(plan, settings=parse_settings("lost", ["refine_iters=3", *pairs]))


def test_the_same_improvement_more_rounds_and_another_detector_continue(tmp_path, plan):
    settle(with_results(tmp_path), plan, RECORDS)
    first = (tmp_path / "improve.json").read_text()
    settle(tmp_path, plan, RECORDS)
    assert (tmp_path / "improve.json").read_text() == first
    settle(tmp_path, changed(plan, "detector=false", "detector_iters=5", "shown=3"), RECORDS)
    settle(tmp_path, replace(plan, rounds=3), RECORDS)
    assert json.loads((tmp_path / "improve.json").read_text())["rounds"] == 3


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda plan: replace(plan, method="tokencut"), "method was 'lost' and is now 'tokencut'"),
        (lambda plan: replace(plan, max_side=300), "max_side was 800 and is now 300"),
        (lambda plan: changed(plan, "seed=4"), "set was seed=0 and is now seed=4"),
        (lambda plan: changed(plan, "k_patches=4"), "set_rule was"),
        (lambda plan: changed(plan, "REFINE.DRIFT.PERIOD=4"), "set_refine was"),
        (lambda plan: replace(plan, rounds=1), "rounds was 2 and is now 1"),
    ],
)
def test_another_improvement_is_refused_and_the_record_stays(tmp_path, plan, other, message):
    two = replace(plan, rounds=2)
    settle(with_results(tmp_path), two, RECORDS)
    kept = (tmp_path / "improve.json").read_text()
    with pytest.raises(UserError, match="name another --output, which keeps") as refused:
        settle(tmp_path, other(two), RECORDS)
    assert message in str(refused.value)
    assert (tmp_path / "improve.json").read_text() == kept


def test_other_images_and_other_weights_of_the_same_name_are_refused(tmp_path, plan):
    settle(with_results(tmp_path), plan, RECORDS)
    with pytest.raises(UserError, match="images was 9 and is now 8"):
        settle(tmp_path, plan, RECORDS[:8])
    repaired = [*RECORDS[:8], RECORDS[8] | {"height": 65}]
    with pytest.raises(UserError, match="names or sizes of the images of 'folder:x' have changed"):
        settle(tmp_path, plan, repaired)
    photograph = tmp_path / "8.png"
    photograph.write_bytes(b"another photograph of the same name and size")
    replaced = [*RECORDS[:8], RECORDS[8] | {"file_name": str(photograph)}]
    with pytest.raises(UserError, match="sizes of the images of 'folder:x' have changed"):
        settle(tmp_path, plan, replaced)
    weights = tmp_path / "w.pth"
    weights.write_text("one")
    own, folder = (
        replace(plan, network=Network("dino_mini", str(weights))),
        with_results(tmp_path / "second"),
    )
    settle(folder, own, RECORDS)
    weights.write_text("two")
    with pytest.raises(UserError, match="weights_sha256 was"):
        settle(folder, own, RECORDS)


def test_the_record_of_a_failed_first_stage_gives_way_unless_a_process_works_there(tmp_path, plan):
    """The corrected command is accepted: there is no result that it could replace."""
    settle(tmp_path, plan, RECORDS)
    (tmp_path / ".stages").mkdir()
    (tmp_path / ".stages" / "before.json").write_text("{}")
    (tmp_path / "before").mkdir()
    with pytest.raises(UserError, match="seed=0 and is now seed=4"):
        settle(tmp_path, changed(plan, "seed=4"), RECORDS, at_work=True)
    settle(tmp_path, changed(plan, "seed=4"), RECORDS)
    assert json.loads((tmp_path / "improve.json").read_text())["set"]["seed"] == 4


def test_a_damaged_record_is_refused(tmp_path, plan):
    (tmp_path / "improve.json").write_text("[]")
    with pytest.raises(UserError, match="no record of an improvement"):
        settle(tmp_path, plan, RECORDS)
