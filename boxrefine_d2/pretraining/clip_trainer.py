"""Trainer of a CLIP on images and their phrases."""

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
    """Write a folder that `build_clip` and `transformers` read, with weights in half precision.

    The folder is complete or absent.
    """
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    whole = copy.deepcopy(clip.model).half()
    whole.config.update(training_metadata(cfg))
    with quiet():
        whole.save_pretrained(unfinished)
        clip.tokenizer.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


class ClipTrainer(ProductTrainer):
    """Trainer of a `ClipTraining`, whose product is a folder in the format of `transformers`."""

    network: ClipTraining

    def __init__(self, cfg: CfgNode):
        """Build the trainer, and learn the tokenizer from all training phrases, with repeats.

        Raises: UserError for images without a phrase.
        """
        super().__init__(cfg)
        records = self.train_loader.dataset.records
        check_phrases(records, cfg.DATASETS.TRAIN)
        self.network.learn_words(phrase for record in records for phrase in phrases_of(record))

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> PhraseMapper:
        """Return the mapper that gives crops squeezed to a square, with a phrase."""
        mapper: PhraseMapper = PhraseMapper(cfg)
        return mapper

    def record(self) -> dict[str, Any]:
        """Write the product; return the time of the training and the number of images seen."""
        if comm.is_main_process():
            folder = Path(self.cfg.OUTPUT_DIR) / self.network.product_file
            write_clip(folder, self.network.map_network, self.cfg)
        return self.stream_record(self._steps)
