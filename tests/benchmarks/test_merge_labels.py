"""The benchmark of merging runs a real merge of two different files."""

import json

import merge_labels
import pytest


def test_the_benchmark_measures_a_merge_of_two_files(tmp_path):
    old, new, merged = (tmp_path / f"{name}.json" for name in ("old", "new", "merged"))
    merge_labels.write_labels(old, 20, seed=0)
    merge_labels.write_labels(new, 20, seed=1)
    assert old.read_bytes() != new.read_bytes()
    seconds, peak = merge_labels.merge(old, new, merged)
    assert seconds > 0 and peak > 50
    content = json.loads(merged.read_text())
    assert len(content["images"]) == 20
    sure = [a for a in json.loads(new.read_text())["annotations"] if a["score"] >= 0.5]
    assert len(sure) < len(content["annotations"]) < len(sure) + 60


def test_a_failed_merge_raises_an_error(tmp_path):
    missing = tmp_path / "missing.json"
    with pytest.raises(merge_labels.subprocess.CalledProcessError):
        merge_labels.merge(missing, missing, tmp_path / "merged.json")
