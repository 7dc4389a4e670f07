"""Configurations: every key with any value, damaged YAML, tags that would run code, pipelines."""

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from detectron2.config import CfgNode
from detectron2.engine import TrainerBase

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.files.shipped import find_config

from . import known_damage
from .child import Enough
from .commands import aside, command, pairs, settings_of, succeed
from .config_damage import TAGS, VALUES, damaged_lines, damaged_yaml
from .family import Family, Try
from .sandbox import Sandbox

_STEPS = 3  # a training of this many steps has shown that it works
JOBS = {
    "train_net": (
        *(
            "configs/demo/lost_refine.yaml",
            "configs/demo/lost_refine.yaml",
            "configs/demo/grounding_train.yaml",
        ),
        *(
            "configs/demo/grounding_refine.yaml",
            "configs/pretrain/dino_mini.yaml",
            "configs/pretrain/clip_mini.yaml",
        ),
        *(
            "configs/pretrain/mae_mini.yaml",
            "configs/pretrain/move_mini.yaml",
            "configs/pretrain/found_mini.yaml",
        ),
    ),
    "train_cad": ("configs/demo/cad.yaml", "configs/demo/cutler.yaml"),
}
_PIPELINE = """\
folder: {out}
set:
  images: scenes:val+first=1
stages:
  - name: labels
    run: discover.py --method lost --backbone dino_mini --num-workers 0 --data {{images}} \
--output {{here}}/labels.json
    makes: labels.json
  - name: scores
    run: evaluate.py --gt {{images}} --pred {{labels}}/labels.json --metrics corloc \
--json {{here}}/scores.json
    makes: [scores.json]
    inputs: []
"""


def keys_of(cfg: CfgNode, above: str = "") -> Iterator[str]:
    """Yield the full name of every key of a configuration."""
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from keys_of(value, f"{above}{key}.")
        else:
            yield above + key


def stop_early() -> None:
    """Make every training of this process end after a few steps with `Enough`."""
    before = TrainerBase.before_step

    def counted(trainer: TrainerBase) -> None:
        if trainer.iter - trainer.start_iter >= _STEPS:
            raise Enough
        before(trainer)

    TrainerBase.before_step = counted


class Configs(Family):
    """A training with a changed key or a damaged file."""

    name = "configs"
    description = (
        "KEY VALUE pairs for every key of the configuration, with values of every type and size; "
        "YAML files, bases and pipelines with damaged bytes or tokens and with tags that would run "
        "code; for `train_net`, `train_cad`, `pipeline`, `self_train`, `demo` and `describe`"
    )
    share = 2.0
    limit = 90.0

    def prepare(self, folder: Path) -> None:
        """List the keys and import the modules that trainings need."""
        self._keys = sorted(keys_of(boxrefine_cfg()))
        self._values = [*VALUES, *known_damage.values()]
        aside(lambda: self._warm(folder), folder / "log.txt")

    def _warm(self, folder: Path) -> None:
        for tool, files in JOBS.items():
            for file in dict.fromkeys(files):
                run = {"OUTPUT_DIR": folder / Path(file).stem}
                succeed(tool, ["--config-file", file, *pairs(settings_of(file), run)])

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try; half of all tries change KEY VALUE pairs."""
        stop_early()
        sys.executable = shutil.which("true") or sys.executable  # a pipeline's stages do nothing
        ways = [self._pair, self._pair, self._pair, self._file, self._tag, self._pipeline]
        return draw.choice(ways)(draw, box)

    def _job(self, draw: random.Random) -> tuple[str, str]:
        tool = draw.choice(("train_net", "train_net", "train_cad"))
        return tool, draw.choice(JOBS[tool])

    def _settings(self, file: str, box: Sandbox) -> dict[str, object]:
        return settings_of(file) | {"OUTPUT_DIR": box.out / "run"}

    def _pair(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try that changes one key or two keys."""
        tool, file = self._job(draw)
        changes = {
            draw.choice(self._keys): draw.choice(self._values)
            for _ in range(draw.choice((1, 1, 1, 2)))
        }
        if draw.random() < 0.1:
            changes = {
                draw.choice(
                    ("MODEL", "MODEL.X", "", ".", "A..B", "SOLVER.", "_BASE_")
                ): draw.choice(self._values)
            }
        if "OUTPUT_DIR" in changes:  # root could write anywhere
            changes["OUTPUT_DIR"] = draw.choice(_outputs(box))
        words = pairs(self._settings(file, box), changes)
        if draw.random() < 0.05:
            words += known_damage.words(draw)
        title = f"{Path(file).name} " + " ".join(f"{k} {v[:40]}" for k, v in changes.items())
        return command(title, tool, ["--config-file", file, *words])

    def _file(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a damaged configuration or a damaged base."""
        tool, file = self._job(draw)
        path, base = box.given / "a.yaml", box.given / "base.yaml"
        text = find_config(file).read_text()
        content = {k: v for k, v in (yaml.safe_load(text) or {}).items() if k != "_BASE_"}
        shipped = str(find_config(file).resolve())
        base.write_text(f"_BASE_: {shipped}\n" + yaml.safe_dump(content))
        path.write_text("_BASE_: base.yaml\nVERSION: 2\nSEED: 3\nSOLVER:\n  BASE_LR: 0.001\n")
        victim = draw.choice((path, base, base))
        victim.write_bytes(damaged_yaml(victim.read_text(), draw))
        title = f"damaged {victim.name}"
        if draw.random() < 0.4 and (known := known_damage.config_file(box.given, draw)):
            title, path = known
        words = pairs(self._settings(file, box))
        return command(
            f"{title} of {Path(file).name}",
            tool,
            ["--config-file", str(path), *words],
        )

    def _tag(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a tag as the whole file, below a key, in a base or in a pipeline."""
        tag = draw.choice(TAGS).format(mark=box.mark)
        tool, file = self._job(draw)
        path, base = box.given / "a.yaml", box.given / "base.yaml"
        base.write_text("VERSION: 2\n")
        places = {
            "whole": tag,
            "key": f"VERSION: 2\nSEED: {tag}\n",
            "below": f"VERSION: 2\nMODEL:\n  MAP_NETWORK:\n    NAME: {tag}\n",
            "list": f"VERSION: 2\nSOLVER:\n  STEPS: [1, {tag}]\n",
            "name": f"VERSION: 2\n? {tag}\n: 1\n",
            "base": "_BASE_: base.yaml\nVERSION: 2\n",
            "base name": f"_BASE_: {tag}\nVERSION: 2\n",
        }
        where = draw.choice(sorted(places))
        path.write_text(places[where])
        known = known_damage.code_in_yaml(box.mark)
        if known and draw.random() < 0.3:
            where, tag = "known", draw.choice(known)
            path.write_text(tag)
        if where == "base":
            base.write_text(f"VERSION: 2\nSEED: {tag}\n")
        words = pairs(self._settings(file, box))
        uses = [
            (tool, ["--config-file", str(path), *words]),
            (tool, ["--config-file", file, "SEED", tag, *words]),
            ("pipeline", [str(path)]),
            ("self_train", ["--config-file", str(path), "--rounds", "1", *words]),
            (
                "describe",
                [str(path), "--config-file", str(path), "--output", str(box.out / "p.png")],
            ),
            (
                "demo",
                [
                    str(path),
                    "--phrase",
                    "a",
                    "--config-file",
                    str(path),
                    "--output",
                    str(box.out / "p.png"),
                ],
            ),
        ]
        name, argv = draw.choice(uses)
        return command(f"{tag[:60]} as {where}", name, argv)

    def _pipeline(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a damaged line in a pipeline file.

        The lines of commands and folders stay whole, because root could write anywhere.
        """
        path, out = box.given / "p.yaml", box.out / "stages"
        lines = _PIPELINE.format(out=out).splitlines(keepends=True)
        free = [i for i, line in enumerate(lines) if "folder" not in line and "run" not in line]
        place = draw.choice(free)
        lines[place] = damaged_lines([lines[place]], draw)
        path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
        changes = [f"folder={out}"]
        if draw.random() < 0.3:
            changes.append(
                f"{draw.choice(('images', 'x', ''))}={draw.choice(VALUES)}".replace("\x00", "")
            )
        return command("damaged pipeline", "pipeline", [str(path), *changes])


def _outputs(box: Sandbox) -> list[str]:
    """Return impossible or strange output directories that belong to nobody else."""
    out, file = box.out, box.out / "file"
    file.touch()
    strange = ("", "a\nb", "é\udce9", "x" * 300, "y/" * 3000, "~", "'q'", "(1,)")
    return [
        *(f"{out}/{name}" for name in strange),
        str(file),
        f"{file}/x",
        "/dev/null",
        "/dev/null/x",
        "/proc/x",
    ]
