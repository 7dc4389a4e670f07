"""Stages of an improvement: boxes, targets, refinement, boxes again, verdict, detector and page.

Each stage is a command that a user could type. `workflow.run_plan` runs them.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.training.setup import load_config

from .options import METHODS, Settings

BOXES, VERDICT, PAGE = "boxes.json", "verdict.json", "report.html"
MODEL, RESULTS, NETWORK = "model_final.pth", "results.json", "network.safetensors"

# The configuration that refines a network: that of its name, or the one of all others.
REFINE_CONFIGS = {
    "dino_mini": "configs/demo/region_refine.yaml",
    "dino_mini_1": "configs/demo/region_refine.yaml",
    "": "configs/region_refine.yaml",
}
DETECTOR_CONFIG = "configs/demo/cad.yaml"
# The rule that the safety stop reads. MaskCut cuts as TokenCut does, in several rounds.
STOP_RULES = {
    "lost": "lost",
    "tokencut": "tokencut",
    "maskcut": "tokencut",
    "absorption": "absorption",
}
# Parameters of `absorption` as the rule of targets: an object left out would be background.
TARGET_RULE = ("max_objects=4", "min_area=0.02")
TARGET_VIEWS = ("mirrored", "scale:0.75", "crop:0.8")

Entry = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A map network as discover.py names it.

    Attributes: weights: file, "random:SEED", or the words {STAGE}/FILE of a plan; "" for its own
        weights.
    """

    backbone: str
    weights: str

    @property
    def flags(self) -> list[str]:
        """Flags of the commands that read the network."""
        return ["--backbone", self.backbone, *(["--weights", self.weights] if self.weights else [])]

    @property
    def inputs(self) -> list[str]:
        """Files that a stage reads, apart from those of earlier stages."""
        return [self.weights] if Path(self.weights).is_file() else []


@dataclass(frozen=True)
class Improvement:
    """An improvement, from which the stages follow.

    Attributes:
        data: dataset spec of the images.
        images: number of these images.
        network: network from before refinement.
        method: rule of the boxes before and after.
        rounds: number of refinements, each of which starts from the one before.
        settings: values of --set.
        device: device of all networks.
        max_side: longest side of an image for the rule in pixels; 0 is no limit.
        labelled: True if the images have labels; the detector is then scored on them.
    """

    data: str
    images: int
    network: Network
    method: str
    rounds: int
    settings: Settings
    device: str = "cpu"
    max_side: int = 800
    labelled: bool = False

    @property
    def refine_config(self) -> str:
        """Configuration file of the refinement."""
        return REFINE_CONFIGS.get(self.network.backbone, REFINE_CONFIGS[""])

    @property
    def values(self) -> dict[str, str]:
        """Values of words in braces, which keep braces and quotes in a spec as they are."""
        return {"data": self.data, "quoted_data": json.dumps(self.data, ensure_ascii=False)[1:-1]}

    def check(self) -> None:
        """Refuse impossible settings before any stage runs. Raises: UserError."""
        check_choice("--method", self.method, METHODS)
        check_choice("--set targets", self.settings["targets"], TARGETS)
        if self.rounds < 1:
            raise UserError(f"--rounds is {self.rounds}; give 1 or more")
        load_config(self.refine_config, list(self.settings.refine))

    def stages(self) -> list[Entry]:
        """Return the entries of a pipeline file's list `stages`."""
        before = discover(self, "before", self.method, self.network, self.settings.rule)
        entries, network = [before], self.network
        for number in range(1, self.rounds + 1):
            targets, refine, kept, after = (
                round_name(part, number) for part in ("targets", "refine", "network", "after")
            )
            entries += TARGETS[self.settings["targets"]](self, targets, network)
            entries.append(self._refine(refine, targets, network))
            entries.append(self._network(kept, refine))
            network = Network(network.backbone, f"{{{kept}}}/{NETWORK}")
            entries.append(discover(self, after, self.method, network, self.settings.rule))
        return [*entries, self._verdict(), *self._detector(), self._page()]

    def _refine(self, name: str, targets: str, network: Network) -> Entry:
        changes = list(self.settings.refine)
        cfg = load_config(self.refine_config, changes)
        iterations = self.settings["refine_iters"] or cfg.REFINE.REFINE_ITERS
        words = ["train_net.py", "--config-file", self.refine_config, "--resume"]
        words += ["DATASETS.TRAIN", f'("{{quoted_data}}+pseudo={{{targets}}}/{BOXES}",)']
        words += ["DATASETS.TEST", "()", "REFINE.TARGETS", "annotations"]
        words += ["MODEL.MAP_NETWORK.NAME", network.backbone]
        words += ["MODEL.MAP_NETWORK.WEIGHTS", network.weights]
        words += ["DISCOVERY.NAME", STOP_RULES[self.method], "REFINE.STOP_ON_DRIFT", "True"]
        words += ["REFINE.REFINE_ITERS", str(iterations)]
        words += ["SOLVER.MAX_ITER", str(cfg.REFINE.WARMUP_ITERS + iterations)]
        words += ["SOLVER.MAP_NETWORK_DECAY.ITERS", str(iterations)]
        words += ["SOLVER.IMS_PER_BATCH", str(self._batch_size(cfg.SOLVER.IMS_PER_BATCH))]
        words += self._of_trainings() + changes
        return _entry(name, words, [MODEL, RESULTS], network.inputs)

    def _network(self, name: str, refine: str) -> Entry:
        """Return the stage that keeps the network alone.

        The bytes of a checkpoint depend on the time that its training took, so its digest is no
        use in a file of boxes.
        """
        words = ["convert_map_network.py", "--input", f"{{{refine}}}/{MODEL}"]
        words += ["--backbone", self.network.backbone, "--output", f"{{here}}/{NETWORK}"]
        return _entry(name, words, [NETWORK], [])

    def _of_trainings(self) -> list[str]:
        settings = self.settings
        words = ["DATALOADER.NUM_WORKERS", str(settings["num_workers"])]
        words += ["MODEL.DEVICE", self.device, "SEED", str(settings["seed"])]
        return [*words, "OUTPUT_DIR", "{here}"]

    def _batch_size(self, usual: int) -> int:
        return min(self.settings["batch_size"] or usual, self.images)

    def _verdict(self) -> Entry:
        words = ["improve_verdict.py", "--data", "{data}", "--before", f"{{before}}/{BOXES}"]
        words += [*self._rounds(), "--output", "{here}", *self.network.flags]
        words += ["--images", str(self.settings["verdict_images"])]
        words += ["--num-workers", str(self.settings["num_workers"])]
        words += ["--device", self.device]
        makes = [BOXES, VERDICT]
        return _entry("verdict", words, makes, self.network.inputs)

    def _rounds(self) -> list[str]:
        """Return the flags with the files of all rounds."""
        numbers = range(1, self.rounds + 1)
        boxes = [f"{{{round_name('after', number)}}}/{BOXES}" for number in numbers]
        networks = [f"{{{round_name('network', number)}}}/{NETWORK}" for number in numbers]
        runs = [f"{{{round_name('refine', number)}}}" for number in numbers]
        return ["--after", *boxes, "--refined", *networks, "--runs", *runs]

    def _detector(self) -> list[Entry]:
        if not self.settings["detector"]:
            return []
        cfg = load_config(DETECTOR_CONFIG, [])
        iterations = self.settings["detector_iters"] or cfg.SOLVER.MAX_ITER
        words = ["train_cad.py", "--config-file", DETECTOR_CONFIG, "--resume"]
        words += ["DATASETS.TRAIN", f'("{{quoted_data}}+pseudo={{verdict}}/{BOXES}",)']
        words += ["DATASETS.TEST", '("{quoted_data}+agnostic",)' if self.labelled else "()"]
        words += ["SOLVER.MAX_ITER", str(iterations)]
        words += ["SOLVER.IMS_PER_BATCH", str(self._batch_size(cfg.SOLVER.IMS_PER_BATCH))]
        return [_entry("detector", words + self._of_trainings(), [MODEL, RESULTS], [])]

    def _page(self) -> Entry:
        words = ["improve_page.py", "--data", "{data}", "--verdict", f"{{verdict}}/{VERDICT}"]
        words += ["--before", f"{{before}}/{BOXES}", *self._rounds()]
        words += ["--detector", "{detector}"] if self.settings["detector"] else []
        words += ["--shown", str(self.settings["shown"]), "--output", f"{{here}}/{PAGE}"]
        return _entry("page", words, [PAGE], [])


def round_name(part: str, number: int) -> str:
    """Return the name of a stage of a round: that of round 1 has no number.

    >>> round_name("after", 1), round_name("after", 2)
    ('after', 'after_2')
    """
    return part if number == 1 else f"{part}_{number}"


def discover(
    plan: Improvement,
    name: str,
    method: str,
    network: Network,
    changes: tuple[str, ...] = (),
    view: str = "",
) -> Entry:
    """Return a stage that draws the boxes of a rule.

    Args:
        changes: parameters of the rule, KEY=VALUE.
        view: value of --view; "" for the image as it is.
    """
    settings = plan.settings
    words = ["discover.py", "--method", method, "--data", "{data}", *network.flags]
    words += ["--max-side", str(plan.max_side), "--device", plan.device]
    words += ["--num-workers", str(settings["num_workers"])]
    words += ["--view", view] if view else []
    words += ["--set", *changes] if changes else []
    return _entry(name, [*words, "--output", f"{{here}}/{BOXES}"], [BOXES], network.inputs)


def _of_absorption(plan: Improvement, name: str, network: Network) -> list[Entry]:
    """Return the stage of absorption's objects."""
    return [discover(plan, name, "absorption", network, TARGET_RULE)]


def _where_rules_agree(plan: Improvement, name: str, network: Network) -> list[Entry]:
    """Return the stages of absorption's objects in images where TokenCut finds one of them."""
    other = discover(plan, f"{name}_tokencut", "tokencut", network)
    return _agreed(plan, name, network, [other])


def _where_views_agree(plan: Improvement, name: str, network: Network) -> list[Entry]:
    """Return the stages of absorption's objects in images where all views hold one of them."""
    others = [
        discover(plan, f"{name}_view_{number}", "absorption", network, TARGET_RULE, view)
        for number, view in enumerate(TARGET_VIEWS, start=1)
    ]
    return _agreed(plan, name, network, others)


def _agreed(plan: Improvement, name: str, network: Network, others: list[Entry]) -> list[Entry]:
    first = discover(plan, f"{name}_first", "absorption", network, TARGET_RULE)
    words = ["edit_labels.py", "agree", "--input", f"{{{first['name']}}}/{BOXES}", "--with"]
    words += [f"{{{other['name']}}}/{BOXES}" for other in others]
    words += ["--keep", "images"]  # another object of a kept image must not become background
    agreed = _entry(name, [*words, "--output", f"{{here}}/{BOXES}"], [BOXES], [])
    return [first, *others, agreed]


# Choice of targets -> function of (plan, stage, network) that returns its stages. The last stage
# has the given name and makes `BOXES`; names of others begin with it.
TARGETS: Mapping[str, Callable[[Improvement, str, Network], list[Entry]]] = {
    "absorption": _of_absorption,
    "agree": _where_rules_agree,
    "views": _where_views_agree,
}


def _entry(name: str, words: list[str], makes: list[str], inputs: list[str]) -> Entry:
    return {"name": name, "run": shlex.join(words), "makes": makes, "inputs": inputs}
