"""Self-supervised training whose product is a network in a file of its own."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm

from boxrefine_d2.data import ImageReadError, read_image
from boxrefine_d2.errors import UserError

from .export import write_network
from .loop import Trainer
from .step_hook import TimedSteps

IMAGES_COMPARED = 16


class ProductTrainer(Trainer):
    """Writes `network.map_network` to OUTPUT_DIR at the end."""

    def __init__(self, cfg: CfgNode):
        """Also refuses training images that are all the same picture. Raises: UserError."""
        super().__init__(cfg)
        _check_images_differ(self.train_loader.dataset.records)

    @abstractmethod
    def step_hook(self) -> TimedSteps:
        """What happens around a step."""

    @abstractmethod
    def product(self) -> tuple[str, str]:
        """The file's name, and the network's."""

    def job_hooks(self) -> list[HookBase]:
        """The step's."""
        self._steps = self.step_hook()
        return [self._steps]

    def record(self) -> dict[str, Any]:
        """How long it took and how many images it saw; writes the product."""
        if comm.is_main_process():
            file, name = self.product()
            path = Path(self.cfg.OUTPUT_DIR) / file
            write_network(path, self.network.map_network, self.cfg, name=name)
        return self.seen(self._steps)


def _check_images_differ(records: Sequence[dict[str, Any]]) -> None:
    """Looks at a few pictures, evenly spread. Raises: UserError if all of them are one picture."""
    chosen = records[:: max(1, len(records) // IMAGES_COMPARED)][:IMAGES_COMPARED]
    seen = set()
    for record in chosen:
        try:
            image = read_image(record["file_name"])
        except ImageReadError:
            continue  # the stream reports it when it gets there
        seen.add(hashlib.sha256(image.tobytes()).digest())
    if len(chosen) > 1 and len(seen) == 1:
        raise UserError(
            f"the training images are all alike: {len(chosen)} of {len(records)}, from "
            f"{chosen[0]['file_name']} on, are one picture; nothing can be learnt from that, look at DATASETS.TRAIN"
        )
