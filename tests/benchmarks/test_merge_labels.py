"""What the measured merge is given, and that it is a merge."""

import json

import merge_labels
import pytest


def test_what_is_measured_is_a_merge_of_two_files(tmp_path):
    old, new, merged = (tmp_path / f"{name}.json" for name in ("old", "new", "merged"))
    merge_labels.write_labels(old, 20, seed=0)
    merge_labels.write_labels(new, 20, seed=1)
    assert old.read_bytes() != new.read_bytes()
    seconds, peak = merge_labels.merge(old, new, merged)
    assert seconds > 0 and peak > 50
    found = json.loads(merged.read_text())
    assert len(found["images"]) == 20
    sure = [a for a in json.loads(new.read_text())["annotations"] if a["score"] >= 0.5]
    assert len(sure) < len(found["annotations"]) < len(sure) + 60


def test_a_merge_that_fails_is_no_measurement(tmp_path):
    missing = tmp_path / "missing.json"
    with pytest.raises(merge_labels.subprocess.CalledProcessError):
        merge_labels.merge(missing, missing, tmp_path / "merged.json")
