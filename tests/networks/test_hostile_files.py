"""No weights file runs code, ends a process, or takes more memory than it holds.

Each refusal gives the true reason.
"""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.plain_pickle import read_plain_pickle
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.checkpoint_file import read_checkpoint
from boxrefine_d2.networks.pickled_module import read_pickled_module
from boxrefine_d2.networks.text_heatmap import build_heatmap, build_untrained_heatmap
from boxrefine_d2.networks.weights import load_into, read_state_dict

from .hostile_files import BOMBS, WRITERS, mark_of, right_state

# unusual files that hold the parameters of `right_state`
RIGHT = {
    *("archive with paths upwards", "versions that are none", "trainer that is none"),
    *(name for name in WRITERS if name.startswith("tensors of a device")),
}
# files whose pickle names code
CODE = {
    *(
        name
        for name in WRITERS
        if name.startswith(("pickle ", "torch zip with", "torch stream with"))
    ),
    *("code by INST", "code by OBJ", "code by STACK_GLOBAL", "code in data.pkl by NEWOBJ"),
    *("a whole module", "a whole module, old", "bytearray made by its class"),
    "name with a line break",
}


class Small(nn.Module):
    """Network of `right_state`."""

    def __init__(self):
        super().__init__()
        for i in range(4):
            self.add_module(f"layer{i}", nn.Linear(4, 4, bias=False))


def load_small(path: Path) -> nn.Module:
    with torch.device("meta"):
        module = Small()
    load_into(module, read_state_dict(path), name="small", path=path)
    return module


READERS = {
    "checkpoint": read_checkpoint,
    "network": load_small,
    "backbone": lambda path: build_backbone("dino_mini", path),
    "found": lambda path: build_backbone("found_mini", path),
    "heatmap": lambda path: build_heatmap("heatmap_mini", path),
    "encoder": lambda path: build_untrained_heatmap("heatmap_mini", str(path), seed=0),
    "module": read_pickled_module,
    "pickle": read_plain_pickle,
}
# These readers fill a network. Only the files in `RIGHT` fit it.
FILLERS = ("network", "backbone", "found", "heatmap")


def reason(path: Path, reader: str) -> str | None:
    """Return the reason why a file is refused; None if it is read."""
    try:
        READERS[reader](path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1500
        return str(error)
    finally:
        assert not mark_of(path).exists(), "code of the file ran"
    return None


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_reader_refuses_in_a_line_or_reads_what_is_right(name, tmp_path):
    for suffix in (".pth", ".pkl", ".safetensors"):
        path = tmp_path / f"weights{suffix}"
        WRITERS[name](path)
        for reader in FILLERS if suffix == ".pth" else ("network",):
            refused = reason(path, reader)
            assert (refused is None) == (reader == "network" and name in RIGHT), refused
            assert refused is None or ("would run" in refused) == (name in CODE), refused
        path.rmdir() if path.is_dir() else path.rename(tmp_path / "last.pth")
    for reader in ("module", "pickle"):
        reason(tmp_path / "last.pth", reader)


@pytest.mark.parametrize("name", ["pipe", "not a number", "numbers as keys", "code by INST"])
def test_an_encoder_is_read_alike(name, tmp_path):
    WRITERS[name](tmp_path / "weights.pth")
    assert reason(tmp_path / "weights.pth", "encoder")


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_what_is_odd_and_right_is_read(name, tmp_path):
    WRITERS[name](tmp_path / "weights.pth")
    loaded = load_small(tmp_path / "weights.pth").state_dict()
    assert all(loaded[key].equal(value) for key, value in right_state().items())


TRUE_REASONS = {
    "nothing": "is empty",
    "git-lfs pointer": "is a git-lfs pointer",
    "login page": "is an HTML page",
    "text": "is a text file",
    "JSON": "is a text file",
    "folder": "is a folder",
    "pipe": "is a pipe or a device",
    "socket": "is a pipe or a device",
    "device": "is a pipe or a device",
    "link to nothing": "does not exist",
    "PNG": "its format is not read",
    "gzip": "its format is not read",
    "gigabytes of zeros": "its format is not read",
    "NumPy archive": "it is a NumPy archive",
    "archive of a program": "it is a TorchScript program",
    "archive compressed": "it is compressed",
    "data.pkl compressed": "it is compressed",
    "archive encrypted": "encrypted",
    "archive with a byte changed": "it is damaged",
    "archive with an entry twice": "more than once",
    "archive with an entry renamed": "its entry 'archive/data/0' is missing",
    "archive of another byte order": "another byte order",
    "cut to 70%, archive": "cut short",
    "cut to 98%, stream": "cut short",
    "stream of terabytes": "announces more than it holds",
    "safetensors cut short": "was it cut short",
    "tensor expanded to terabytes": "is expanded from 16 numbers",
    "tensor beyond its storage": "reaches beyond its 16 numbers",
    "tensor overlapping to terabytes": "reaches beyond its 16 numbers",
    "storage larger than its entry": "has 64 bytes, not 1073741824 numbers",
    "array of terabytes": "announces an array of 1099511627776 numbers",
    "arrays that share their bytes": "makes arrays of more bytes than it holds",
    "tensor of a device beyond its bytes": "announces an array of 1099511627776 numbers",
    "text of a device": "contradict each other",
    "a list of a device": "contradict each other",
    "complex numbers of a device": "complex128",
    "array of objects": "not numbers",
    "array of text": "holds text as 'layer0.weight'",
    "unknown codec": "encoding 'zz'",
    "sparse tensors": "a sparse tensor",
    "quantised tensors": "a quantised tensor",
    "tensors without memory": "a meta tensor",
    "tuple nested as a key": "one of its keys is nested",
    "numbers as keys": "holds no parameters by name",
    "tuples as keys": "holds no parameters by name",
    "an empty dictionary": "holds no parameters by name",
    "a model that is a list": "holds no parameters by name",
    "a list as content": "holds a list; a state dict is needed",
    "complex numbers": "of another kind of numbers (first: layer0.weight torch.complex64",
    "small whole numbers": "of another kind of numbers (first: layer0.weight torch.int8",
    "not a number": "holds numbers that are not finite, first: layer0.weight",
    "infinity": "holds numbers that are not finite, first: layer0.weight",
    "beyond float32": "holds numbers that are not finite, first: layer0.weight",
    "single numbers": "of another shape (first: layer0.weight () instead of (4, 4)",
    "names with line breaks": "holds a name that is no parameter's",
    "persistent id as value": "refers to data that is not in the file",
    "code by STACK_GLOBAL": "it is a pickle that would run os.mkdir",
    "code by INST": "it is a pickle that would run os.mkdir",
    "pickle mkdir, protocol 4": "it is a pickle that would run posix.mkdir",
}


@pytest.mark.parametrize("name", TRUE_REASONS)
def test_the_reason_is_the_true_one(name, tmp_path):
    WRITERS[name](tmp_path / "weights.pth")
    refused = reason(tmp_path / "weights.pth", "network")
    assert refused and TRUE_REASONS[name] in refused, refused


def test_bombs_take_no_memory(tmp_path):
    """Read all bombs in a process whose memory may grow by less than a gibibyte."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BOUNDED, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(len(BOMBS))]


_BOUNDED = """
import resource, sys
from pathlib import Path
from tests.networks.test_hostile_files import BOMBS, READERS, WRITERS, reason
for name in sorted(BOMBS):
    WRITERS[name](Path(sys.argv[1]) / name.replace(" ", "_"))
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**31, taken + 2**31))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in BOMBS:
    for reader in ("checkpoint", "network", "module", "pickle"):
        reason(Path(sys.argv[1]) / name.replace(" ", "_"), reader)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "more than a GiB"
print(len(BOMBS))
"""


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_read_as_it_is(tmp_path, legacy):
    base = torch.arange(24.0).view(4, 6)
    content = {
        "whole": base,
        "view": base.T[1:3, ::2],
        "parameter": nn.Parameter(torch.ones(3)),
        "half": torch.randn(3).half(),
        "brain": torch.randn(2).bfloat16(),
        "whole numbers": torch.arange(5),
        "truth": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
        "single": torch.tensor(3.0),
        "expanded": torch.ones(1).expand(1, 7),
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "x.pth")
    assert list(found) == list(content)
    for name, value in content.items():
        assert found[name].dtype == value.dtype and found[name].equal(value), name


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_the_mark_of_a_compiled_network_is_removed(tmp_path, prefix):
    torch.save({f"{prefix}{k}": v for k, v in right_state().items()}, tmp_path / "x.pth")
    loaded = load_small(tmp_path / "x.pth").state_dict()
    assert all(loaded[key].equal(value) for key, value in right_state().items())


def test_parameters_that_share_memory_in_the_file_do_not_in_the_network(tmp_path):
    shared = torch.ones(4, 4)
    torch.save({f"layer{i}.weight": shared for i in range(4)}, tmp_path / "x.pth")
    module = load_small(tmp_path / "x.pth")
    with torch.no_grad():
        module.layer0.weight.fill_(math.pi)
    assert module.layer1.weight.eq(1).all()
