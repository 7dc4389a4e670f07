"""Two processes with one output: one is refused, or each computes its shard; no file is left."""

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset, ending
from boxrefine_d2.pseudo_labels.sharing import Share, claim

LOST = DiscoverySettings("lost", "dino_mini", batch_size=2)
IMAGES = 4  # two batches
AT_WORK = r"another process is at work on '.*o.json'; .*or name another --output"


@pytest.fixture(autouse=True)
def photographs(tmp_path_factory, monkeypatch):
    """Write small images of one size, and make their folder the current one."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for index in range(IMAGES):
        pixels = rng.integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    monkeypatch.chdir(folder)


def discover(output, settings=LOST, shard=None, data="folder:."):
    return discover_dataset(data, output, settings, num_workers=0, shard=shard)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """Yield a function that starts a run, or a shard, and pauses it after its first batch.

    It returns a function that lets the run end and returns its summary.
    """
    started, go_on = threading.Event(), threading.Event()
    threads, summaries = [], []
    add = ending.Journal.add

    def waits(self, index, entry):
        add(self, index, entry)
        if threading.current_thread() in threads:
            started.set()
            assert go_on.wait(60)

    monkeypatch.setattr(ending.Journal, "add", waits)

    def start(output, **options):
        run = threading.Thread(target=lambda: summaries.append(discover(output, **options)))
        threads.append(run)
        run.start()
        assert started.wait(60)

        def finish():
            go_on.set()
            run.join(60)
            return summaries[0]

        return finish

    yield start
    go_on.set()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(
    ("settings", "shard"),
    [(LOST, None), (replace(LOST, method="tokencut"), None), (LOST, (2, 2))],
    ids=["the same", "other settings", "a shard"],
)
def test_a_second_process_is_refused_at_once_and_the_first_ends_well(
    tmp_path, at_work, settings, shard
):
    output = tmp_path / "o.json"
    finish = at_work(output)
    with pytest.raises(UserError, match=AT_WORK):
        discover(output, settings, shard)
    assert finish().done == 4
    assert names(tmp_path) == ["o.json"]


def test_a_whole_run_is_refused_beside_a_shard_and_so_is_the_same_shard(tmp_path, at_work):
    output = tmp_path / "o.json"
    finish = at_work(output, shard=(1, 2))
    with pytest.raises(UserError, match=AT_WORK):
        discover(output)
    with pytest.raises(UserError, match=r"shard 1/2 of '.*o.json' is at work already"):
        discover(output, shard=(1, 2))
    with pytest.raises(UserError, match=r"other settings \(method, parameters\)"):
        discover(output, replace(LOST, method="tokencut"), shard=(2, 2))
    other = discover(output, shard=(2, 2))  # reads the first shard's batch in its journal, writes
    assert (other.written, other.done) == (True, 4)
    late = finish()
    assert (late.written, late.done_now, late.failed) == (True, 2, 0)
    assert str(late).endswith("another shard wrote " + str(output))
    assert names(tmp_path) == ["o.json"]


def test_more_shards_than_batches_and_a_late_shard(tmp_path):
    discover(tmp_path / "whole.json")
    output = tmp_path / "shards" / "o.json"
    idle = discover(output, shard=(3, 3))
    assert str(idle).endswith("; other shards are not finished") and not names(output.parent)
    assert not discover(output, shard=(1, 3)).written
    assert discover(output, shard=(2, 3)).written
    for number in (1, 2, 3):
        late = discover(output, shard=(number, 3))
        assert late.written and late.done_now == 0
        assert "was written before from the same images and settings" in str(late)
    assert names(output.parent) == ["o.json"]
    assert output.read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_shard_replaces_a_file_of_other_settings_or_images(tmp_path):
    output = tmp_path / "o.json"
    for settings, data in (
        (LOST, "folder:."),
        (replace(LOST, max_side=32), "folder:."),
        (LOST, "folder:.+first=3"),
    ):
        assert discover(output, settings, (1, 1), data).done_now > 0


def test_two_shards_that_end_together_write_once(tmp_path, monkeypatch):
    """Both write their last batch into their journal before either checks for completion."""
    output, together, written = tmp_path / "o.json", threading.Barrier(2), []
    gate, write = ending.gate, ending.write_ordered_pseudo_labels

    def gate_together(path):
        together.wait(60)
        return gate(path)

    monkeypatch.setattr(ending, "gate", gate_together)
    monkeypatch.setattr(
        ending, "write_ordered_pseudo_labels", lambda *a, **k: written.append(a) or write(*a, **k)
    )
    summaries = []
    threads = [
        threading.Thread(target=lambda n=n: summaries.append(discover(output, shard=(n, 2))))
        for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [summary.written for summary in summaries] == [True, True]
    assert len(written) == 1
    assert names(tmp_path) == ["o.json"]


def test_a_shard_that_another_overtakes_at_the_end(tmp_path, monkeypatch):
    """The shard read the other's journal, which is gone when the shard wants to write."""
    output, summaries, gate = tmp_path / "o.json", [], ending.gate
    first_ends, second_ends = threading.Event(), threading.Event()

    def gate_in_turn(path):
        if threading.current_thread() is first:
            first_ends.set()
            assert second_ends.wait(60)
        else:
            second_ends.set()
            first.join(60)
        return gate(path)

    monkeypatch.setattr(ending, "gate", gate_in_turn)
    first = threading.Thread(target=lambda: summaries.append(discover(output, shard=(1, 2))))
    first.start()
    assert first_ends.wait(60)
    second = discover(output, shard=(2, 2))
    assert [summaries[0].written, second.written] == [True, True]
    assert str(second).endswith(f"another shard wrote {output}")
    assert names(tmp_path) == ["o.json"]


def test_remains_of_killed_processes_are_removed_once_the_file_exists(tmp_path):
    """Remains are a lock, a half-written file, and a journal of a run killed after it wrote."""
    output = tmp_path / "o.json"
    discover(output)
    journal = claim(output, {"other": 1}, Share.of((1, 2)))
    journal.add(0, {"images": [], "failed": [], "dense_solves": 0})
    journal.__exit__()
    (tmp_path / "o.json.lock").touch()
    (tmp_path / ".o.json.1-00000000.tmp").touch()
    assert "was written before" in str(discover(output, shard=(1, 2)))
    assert names(tmp_path) == ["o.json"]


def test_the_file_is_written_although_its_folder_was_removed_during_the_run(tmp_path, monkeypatch):
    discover(tmp_path / "whole.json")
    output = tmp_path / "folder" / "o.json"
    add = ending.Journal.add

    def removes(self, index, entry):
        add(self, index, entry)
        shutil.rmtree(output.parent, ignore_errors=True)

    monkeypatch.setattr(ending.Journal, "add", removes)
    assert discover(output).done == 4
    assert output.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert names(output.parent) == ["o.json"]
