"""Each family draws the same try from the same seed, and other tries from other seeds."""

import os
import random
import shutil
import stat
import sys
import time
from pathlib import Path

import pytest
import torch
from detectron2.engine import TrainerBase

from fuzz import configs, images, labels, paths, processes, texts, weights
from fuzz.families import FAMILIES, family_of
from fuzz.outcomes import judge
from fuzz.sandbox import ESCAPE, Sandbox
from fuzz.texts import TEXTS, hostile_tree, live_markup
from fuzz.weight_files import pickled, saved

SEEDS = range(8)


legacy_save = torch.serialization._legacy_save


def numbered_save(*arguments):
    """Save in the legacy format, but name storages by their order and not by their address."""
    numbers = {}
    address = torch._C.StorageBase._cdata
    with pytest.MonkeyPatch.context() as patch:
        numbered = property(lambda x: numbers.setdefault(address.__get__(x), len(numbers)))
        patch.setattr(torch.UntypedStorage, "_cdata", numbered, raising=False)
        legacy_save(*arguments)


@pytest.fixture
def family(request, tmp_path, monkeypatch):
    """Return a family that is prepared without running any command."""

    def no_command(act, log):
        if isinstance(made, weights.Weights):
            made._run.mkdir()
            (made._run / "model_final.pth").write_bytes(saved({}))
        if isinstance(made, texts.Texts):
            for run in made._runs.values():
                run.mkdir()
                (run / "results.json").write_text('{"a": ["b", {"c": "d"}]}')

    for module in (configs, images, labels, paths, processes, texts, weights):
        monkeypatch.setattr(module, "aside", no_command)
    # these are what a try changes in its process
    monkeypatch.setattr(TrainerBase, "before_step", TrainerBase.before_step)
    monkeypatch.setattr(sys, "executable", sys.executable)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(processes, "_same_bytes", lambda *names: lambda out: None)
    monkeypatch.setattr(processes, "_weights", lambda out: None)
    monkeypatch.setattr(processes, "monotonic", lambda: 0.0)
    # archives contain the time of day
    monkeypatch.setattr(time, "localtime", lambda *seconds: time.gmtime(10**9))
    monkeypatch.setattr(torch.serialization, "_legacy_save", numbered_save)
    monkeypatch.chdir(tmp_path)
    made = family_of(request.param)
    (tmp_path / "valid").mkdir()
    made.prepare(tmp_path / "valid")
    return made


def drawn(family, seed, root):
    """Return the try of a seed: title, command, and content of every file in its folder."""
    box = Sandbox(root)
    tried = family.draw(random.Random(seed), box)
    files = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            content = os.readlink(path) if stat.S_ISLNK(mode) else stat.S_IFMT(mode)
            small = stat.S_ISREG(mode) and path.stat().st_size < 2**27
            files[str(path)] = path.read_bytes() if small else content
    shutil.rmtree(os.fsencode(root))
    return tried.title, tried.command, files


@pytest.mark.parametrize("family", FAMILIES, indirect=True)
def test_a_seed_gives_one_try(family, tmp_path):
    first = [drawn(family, seed, tmp_path / "box") for seed in SEEDS]
    again = [drawn(family, seed, tmp_path / "box") for seed in SEEDS]
    assert first == again
    assert (
        len({(title, command, str(sorted(files.items()))) for title, command, files in first}) > 5
    )


def test_live_markup_in_a_page_is_found(tmp_path):
    page = tmp_path / "p.html"
    for text in (
        "<p onclick=x>",
        "<fuzzmark>",
        "<img src='http://x/'>",
        "<script>",
        "<a href=' java\nscript:x'>",
    ):
        page.write_text(f"<p>{text}</p>")
        assert live_markup(page), text
    page.write_text(
        "<p title='onclick=x &lt;script>'>&lt;fuzzmark></p><img src='data:image/png;base64,'>"
    )
    assert live_markup(page) == ""
    page.write_bytes(b"<p>\xff</p>")
    assert "UTF-8" in live_markup(page)


def test_hostile_texts_replace_only_texts():
    content = {"a": ["b", 1, None, {"c": "d"}]}
    changed = hostile_tree(content, random.Random(0), share=1.0)
    assert changed["a"][1:3] == [1, None]
    assert changed["a"][0] != "b" and any(changed["a"][3]["c"].startswith(text) for text in TEXTS)


def test_a_hostile_pickle_runs_its_code_in_a_careless_reader(tmp_path):
    """Without code that runs, no command could ever write the mark."""
    import pickle

    from fuzz.weight_files import hostile_pickles

    for name in ("os.system", "builtins.exec", "subprocess", "code below a key"):
        mark = tmp_path / name
        pickle.loads(pickled(hostile_pickles(str(mark))[name], 2))
        assert mark.exists(), name


def test_strays_are_found_in_every_folder(tmp_path):
    box = Sandbox(tmp_path / "a" / "box")
    (box.given / "x").write_text("1")
    box.remember()
    (box.out / "fine").touch()
    (box.log / "fine").touch()
    assert box.strays() == []
    (box.root / "tmp" / "y").touch()
    (box.given / "x").unlink()
    (tmp_path / f"{ESCAPE}.jpg").touch()
    assert len(box.strays()) == 3


def test_a_memory_error_is_a_failure():
    assert judge(2, "error: weights: DefaultCPUAllocator: can't allocate memory").failed
