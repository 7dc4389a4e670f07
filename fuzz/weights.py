"""Odd checkpoints and model folders for every option that takes weights."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from boxrefine_d2.language.build import SHIPPED
from boxrefine_d2.networks.build import DINO_MINI

from . import known_damage, label_files
from .commands import MINI, SCENES, SHORT, aside, command, pairs, settings_of, succeed
from .configs import stop_early
from .family import Family, Try
from .label_files import damaged_json
from .mutation import damaged
from .sandbox import Sandbox
from .weight_files import WeightFiles

_NO_REFINEMENT = {key: value for key, value in SHORT.items() if "REFINE" not in key}


class Weights(Family):
    """An odd checkpoint or model folder for one option."""

    name = "weights"
    description = (
        "damaged checkpoints, hostile pickles, strange contents, bombs, pipes and devices, and "
        "model folders with damaged files, for every option of every command that takes weights"
    )
    share = 2.0
    limit = 90.0

    def prepare(self, folder: Path) -> None:
        """Make valid images, labels and a training run, whose checkpoint is damaged later."""
        self._image = folder / "images" / "a.jpg"
        label_files.write_images(folder / "images")
        self._run, self._labels = folder / "run", folder / "labels.json"
        aside(lambda: self._make(folder), folder / "log.txt")
        self._files = WeightFiles(
            Path(DINO_MINI), {"model_final.pth": (self._run / "model_final.pth").read_bytes()}
        )

    def _make(self, folder: Path) -> None:
        run = {"OUTPUT_DIR": self._run}
        succeed(
            "train_net",
            ["--config-file", "configs/demo/lost_refine.yaml", *pairs(SCENES, SHORT, run)],
        )
        succeed("discover", [*MINI, "--data", "scenes:train+first=2", "--output", self._labels])
        succeed("train_cad", self._cad(folder / "cad"))
        succeed("describe", [self._image, "--output", folder / "p.png"])

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a file for an option, or with a folder of a CLIP."""
        stop_early()
        if draw.random() < 0.15:
            return self._folder(draw, box)
        path = box.given / f"w{draw.choice(('.pth', '.pth', '.safetensors', '.pkl', '.bin', ''))}"
        known = known_damage.weight_file(path, draw) if draw.random() < 0.4 else None
        title = known or self._files.draw(draw, path, str(box.mark))
        options = self._options(str(path), box)
        name = draw.choice(sorted(options))
        tool, argv = options[name]() if callable(options[name]) else options[name]
        return command(f"{name}: {title}", tool, argv)

    def _options(
        self, path: str, box: Sandbox
    ) -> dict[str, tuple[str, list[str]] | Callable[[], tuple[str, list[str]]]]:
        """Return the commands by the option that takes the file."""
        figure, run = ["--output", str(box.out / "p.png")], box.out / "run"
        data = ["--data", "scenes:val+first=1", "--output", str(box.out / "o.json")]
        image, weights = str(self._image), ["--weights", path]
        found = ["--method", "found", "--backbone", "found_mini"]
        lost = ["--method", "lost", "--backbone", "dino_mini"]
        vits16 = ["--method", "lost"]
        alone = ["--num-workers=0"]
        evaluate = ["--eval-only", *self._cad(run, "MODEL.WEIGHTS", path)]
        return {
            "--weights": ("discover", [*MINI, *weights, *data]),
            "--weights of vits16": ("discover", [*vits16, *weights, *data, *alone]),
            "--weights of found": ("discover", [*found, *weights, *alone, *data]),
            "demo --weights": ("demo", [image, *lost, *weights, *figure]),
            **self._trainings(path, box, run),
            "detector": ("train_cad", self._cad(run, "MODEL.WEIGHTS", path)),
            "detector to evaluate": ("train_cad", evaluate),
            "demo HEATMAP": (
                "demo",
                [image, "--phrase", "a", "--set", f"MODEL.HEATMAP.WEIGHTS={path}", *figure],
            ),
            "describe HEATMAP": (
                "describe",
                [image, "--set", f"MODEL.HEATMAP.WEIGHTS={path}", *figure],
            ),
            "describe CAPTIONER": (
                "describe",
                [image, "--set", f"MODEL.CAPTIONER.WEIGHTS={path}", *figure],
            ),
        }

    def _trainings(
        self, path: str, box: Sandbox, run: Path
    ) -> dict[str, tuple[str, list[str]] | Callable[[], tuple[str, list[str]]]]:
        """Return the training commands by the key or flag that takes the file."""

        def train(file: str, *changes: object, flags: tuple[str, ...] = ()) -> tuple:
            settings = {changes[i]: changes[i + 1] for i in range(0, len(changes), 2)}
            words = pairs(settings_of(file), {"OUTPUT_DIR": run}, settings)
            return "train_net", ["--config-file", f"configs/{file}.yaml", *flags, *words]

        refine, evaluate = "demo/lost_refine", ("--eval-only",)
        return {
            "MAP_NETWORK": train(refine, "MODEL.MAP_NETWORK.WEIGHTS", path),
            "MAP_DETECTOR": train(refine, "MODEL.MAP_DETECTOR.WEIGHTS", path),
            "MAP_DETECTOR of ResNet-50": train(
                refine, "MODEL.MAP_DETECTOR.WEIGHTS", path, "MODEL.MAP_DETECTOR.TRUNK", "resnet50"
            ),
            "MODEL.WEIGHTS to evaluate": train(refine, "MODEL.WEIGHTS", path, flags=evaluate),
            "MODEL.WEIGHTS": train(refine, "MODEL.WEIGHTS", path),
            "--resume": lambda: self._resumed(path, run),
            "report": lambda: self._reported(path, box),
            "CLIP": train("demo/grounding_train", "MODEL.CLIP.WEIGHTS", path),
            "HEATMAP": train("demo/grounding_refine", "MODEL.HEATMAP.WEIGHTS", path),
            "INPAINTER": train("pretrain/move_mini", "PRETRAIN.INPAINTER.WEIGHTS", path),
            "DISCRIMINATOR": train(
                "pretrain/move_mini", "PRETRAIN.MOVE.DISCRIMINATOR.WEIGHTS", path
            ),
            "MAE": train("pretrain/mae_mini", "MODEL.WEIGHTS", path),
        }

    def _cad(self, run: Path, *changes: object) -> list[str]:
        data = {
            "DATASETS.TRAIN": f"('scenes:train+first=2+pseudo={self._labels}',)",
            "OUTPUT_DIR": run,
        }
        data |= {changes[i]: changes[i + 1] for i in range(0, len(changes), 2)}
        known = {key: value for key, value in _NO_REFINEMENT.items() if key != "INPUT.SQUARE_SIZE"}
        return ["--config-file", "configs/demo/cad.yaml", *pairs(SCENES, known, data)]

    def _resumed(self, path: str, run: Path) -> tuple[str, list[str]]:
        """Return a training that resumes from the file."""
        run.mkdir()
        (run / "last_checkpoint").write_text("model_0000001.pth")
        (run / "model_0000001.pth").symlink_to(path)
        words = pairs(
            SCENES, SHORT, {"OUTPUT_DIR": run, "SOLVER.MAX_ITER": 4, "REFINE.REFINE_ITERS": 3}
        )
        return "train_net", ["--resume", "--config-file", "configs/demo/lost_refine.yaml", *words]

    def _reported(self, path: str, box: Sandbox) -> tuple[str, list[str]]:
        """Return a report on a finished run whose model is the file."""
        run = box.given / "run"
        shutil.copytree(self._run, run, ignore=shutil.ignore_patterns("*.pth"))
        (run / "model_final.pth").symlink_to(path)
        return "report", [str(run), "--output", str(box.out / "r.html")]

    def _folder(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a copy of the shipped CLIP and one damaged file, for CLIP or BLIP."""
        model = box.given / "model"
        shutil.copytree(SHIPPED / "clip_mini", model)
        victim = draw.choice(sorted(p for p in model.iterdir() if p.is_file()))
        if victim.suffix == ".json" and draw.random() < 0.7:
            victim.write_bytes(damaged_json(json.loads(victim.read_text()), draw))
            title = f"damaged {victim.name}"
        elif draw.random() < 0.5:
            data = victim.read_bytes()
            victim.unlink()
            if draw.random() < 0.7:
                victim.write_bytes(damaged(data, draw))
            title = f"damaged or missing {victim.name}"
        else:
            victim.unlink()
            if draw.random() < 0.5 and victim.suffix == ".safetensors":
                victim = victim.with_name("pytorch_model.bin")
            title = f"{self._files.draw(draw, victim, str(box.mark))} as {victim.name}"
        blip = ["MODEL.CAPTIONER.NAME=blip", f"MODEL.CAPTIONER.WEIGHTS={model}"]
        changes = draw.choice(
            ([f"MODEL.CLIP.WEIGHTS={model}"], [f"MODEL.CLIP.WEIGHTS={model}"], blip)
        )
        argv = [str(self._image), "--set", *changes, "--output", str(box.out / "p.png")]
        return command(f"model folder: {title}", "describe", argv)
