"""Training of a CLIP on images and what is said of them, by the same loop."""

import copy
import shutil
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm

from boxrefine_d2.data.mappers.phrase import PhraseMapper, check_phrases, phrases_of
from boxrefine_d2.language import Clip
from boxrefine_d2.language.loading import quiet
from boxrefine_d2.training.product_file import training_metadata
from boxrefine_d2.training.product_trainer import ProductTrainer

from .clip_training import ClipTraining


def write_clip(folder: Path, clip: Clip, cfg: CfgNode) -> None:
    """A folder that `build_clip` and `transformers` read, weights in half precision; whole or absent."""
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    whole = copy.deepcopy(clip.model).half()
    whole.config.update(training_metadata(cfg))
    with quiet():
        whole.save_pretrained(making)
        clip.tokenizer.save_pretrained(making)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)


class ClipTrainer(ProductTrainer):
    """Trains a `ClipTraining`, whose product is a folder as `transformers` writes it."""

    network: ClipTraining

    def __init__(self, cfg: CfgNode):
        """The tokenizer is that of the training phrases, as often as images have them. Raises: UserError for images of
        which nothing is said."""
        super().__init__(cfg)
        records = self.train_loader.dataset.records
        check_phrases(records, cfg.DATASETS.TRAIN)
        self.network.learn_words(phrase for record in records for phrase in phrases_of(record))

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> PhraseMapper:
        """Crops squeezed to a square, with a phrase."""
        mapper: PhraseMapper = PhraseMapper(cfg)
        return mapper

    def record(self) -> dict[str, Any]:
        """How long it took and how many images it saw; writes the product."""
        if comm.is_main_process():
            folder = Path(self.cfg.OUTPUT_DIR) / self.network.product_file
            write_clip(folder, self.network.map_network, self.cfg)
        return self.stream_record(self._steps)
