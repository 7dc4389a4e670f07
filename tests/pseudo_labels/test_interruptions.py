"""Interruptions of a run: SIGKILL at any moment, a full disk, separate shards, changed images."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader
from boxrefine_d2.data.mappers import SqueezedImageMapper, WholeImageMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset
from boxrefine_d2.pseudo_labels.journal import Journal
from tests.processes import end_all, leftover_children, no_traceback, send, start, wait_until

DISCOVER = Path(__file__).parents[2] / "tools" / "discover.py"
IMAGES = 16
DATA = f"scenes:val+first={IMAGES}"
MINI = DiscoverySettings("tokencut", "dino_mini", "random:0", batch_size=1)
# number of kills before the run may end; 20 in a row were tried by hand
KILLS = int(os.environ.get("BOXREFINE_KILLS", "2"))


def command(output, data=DATA):
    rule = ["--method", MINI.method, "--backbone", MINI.backbone, "--weights", MINI.weights]
    run = ["--batch-size", "1", "--num-workers", "0", "--device", "cpu"]
    return [sys.executable, DISCOVER, "--data", data, "--output", output, *rule, *run]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def journal_lines(folder):
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.journal.*"))


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path):
    # in a process like the killed ones, because another number of threads rounds sums differently
    whole = command(tmp_path / "whole.json")
    subprocess.run(whole, env=ENVIRONMENT, check=True, capture_output=True)
    draw = random.Random(0)
    folder = tmp_path / "killed"
    folder.mkdir()
    output, killed = folder / "out.json", 0
    for _ in range(KILLS):
        before = journal_lines(folder)
        process = subprocess.Popen(
            command(output), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        left = draw.randint(2, 3 + IMAGES // (KILLS + 1))
        while journal_lines(folder) < before + left and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed == KILLS or output.exists()
    assert killed >= 1
    subprocess.run(command(output), env=ENVIRONMENT, check=True, capture_output=True)
    assert output.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert [path.name for path in folder.iterdir()] == ["out.json"]


@pytest.mark.parametrize(
    ("images", "limit", "shard"),
    [(16, 2_000, None), (60, 20_000, (1, 2))],
    ids=["journal", "output"],
)
def test_a_full_disk_leaves_the_old_file_and_the_finished_batches(tmp_path, images, limit, shard):
    """First case: the journal does not fit. Second case: two journals fit, the output does not.

    In the second case, one of the journals exists before.
    """
    data, output = f"scenes:val+first={images}", tmp_path / "out.json"
    output.write_text("the old file")
    if shard:
        discover_dataset(data, output, MINI, num_workers=0, shard=shard)

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(
        command(output, data),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
    )
    assert result.returncode == 2, result.stderr[-1500:]
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: cannot write") and "out.json" in last
    assert ("journal" in last) == (shard is None)
    assert output.read_text() == "the old file"
    assert journal_lines(tmp_path) > images // 20
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
    subprocess.run(command(output, data), env=ENVIRONMENT, check=True, capture_output=True)
    assert len(read_pseudo_labels(output).images) == images


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_command(tmp_path, number):
    """The pool of processes that refine masks would wait for work forever."""
    log, output = tmp_path / "log", tmp_path / "out.json"
    words = command(output, "scenes:val+first=400")[1:]
    words[words.index("--num-workers") + 1] = "1"
    process = start([*words, "--set", "bilateral=true"], log)
    try:
        assert wait_until(lambda: journal_lines(tmp_path) > 1, process, 120), log.read_text()
        send(process, number, group=number == signal.SIGINT)
        assert process.wait(30) == (130 if number == signal.SIGINT else -number)
        assert not leftover_children(process)
    finally:
        end_all(process)
    if number == signal.SIGINT:
        last = no_traceback(log.read_text()).splitlines()[-1]
        assert last.startswith("interrupted; finished batches are kept")


def test_separate_shards_write_the_bytes_of_one_run(tmp_path):
    data = "scenes:val+first=9"
    discover_dataset(data, tmp_path / "whole.json", MINI, num_workers=0)
    output = tmp_path / "shards" / "out.json"
    for number in (1, 2):
        summary = discover_dataset(data, output, MINI, num_workers=0, shard=(number, 3))
        assert not summary.written and summary.done == 3 and not output.exists()
        assert str(summary).endswith("; other shards are not finished")
    last = discover_dataset(data, output, MINI, num_workers=0, shard=(3, 3))
    assert last.written and (last.done, last.done_now) == (9, 3)
    assert output.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert [path.name for path in output.parent.iterdir()] == ["out.json"]


def test_a_journal_reads_complete_lines_only(tmp_path):
    output, info = tmp_path / "o[1].json", {"method": "lost"}
    with Journal(output, info).open(0) as journal:
        journal.add(3, {"images": ["a"], "failed": []})
        journal.add(1, {"images": ["b"], "failed": []})
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'[2, {"images": [')
    again = Journal(output, info)
    assert 2 not in again and len(again) == 2
    assert [(i, e["images"]) for i, e in again.entries()] == [(1, ["b"]), (3, ["a"])]
    with pytest.raises(UserError, match=r"other settings \(method\)"):
        Journal(output, {"method": "tokencut"})
    again.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mapper", [WholeImageMapper(0), SqueezedImageMapper(32)])
def test_an_image_that_changed_since_its_header_was_read_is_left_out(tmp_path, mapper):
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20)).save(path)
    record = {"file_name": str(path), "image_id": 1, "height": 20, "width": 30}
    (batch,) = WholeImageLoader([[record]], mapper, 0).with_unreadable()
    assert batch[0]["height"] == 20
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(path)
    (batch,) = WholeImageLoader([[record]], mapper, 0).with_unreadable()
    assert isinstance(batch[0], UnreadableImage)
    assert "is 31 x 20 pixels now and was 30 x 20" in batch[0].reason
