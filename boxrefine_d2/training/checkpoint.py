"""Detectron2's checkpointer with our loader.

It runs no code of a file. A file that it writes is whole or absent.
"""

import logging
import os
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import atomic_binary_file, atomic_text_file
from boxrefine_d2.files.inputs import read_text
from boxrefine_d2.networks.build import SHIPPED
from boxrefine_d2.networks.checkpoint_file import check_weights_file, read_checkpoint
from boxrefine_d2.networks.weights import check_numbers, fetch, is_number_for, named_tensors

from .predictors import is_predictor

Shape = tuple[int, ...]

logger = logging.getLogger(__name__)

LAST = "last_checkpoint"  # the file that names the newest checkpoint


class SafeCheckpointer(DetectionCheckpointer):
    """Checkpointer that reads .pth, .pkl and .safetensors files through `networks.weights`.

    It writes through a temporary file.

    Attributes: missing: parameters of the model that the last loaded file lacked, without counters.
    """

    missing: tuple[str, ...] = ()
    _held: Collection[str] = ()  # the top-level keys of the last loaded file

    @staticmethod
    def local(path: str) -> Path:
        """Return the weights file of a path, a URL or the name of a file that ships.

        It is the file itself, the cached copy of the URL, or the shipped file, such as resnet_mini.

        Raises: UserError if the file does not exist or cannot be a weights file.
        """
        shipped = SHIPPED / f"{path}.safetensors"
        file = (
            fetch(path, "MODEL.WEIGHTS FILE")
            if "://" in path
            else shipped
            if shipped.is_file()
            else Path(path)
        )
        if not os.path.lexists(file):
            raise UserError(
                f"MODEL.WEIGHTS: no weights file at {path}; give a file, an address or the name "
                "of one that ships "
                "(resnet_mini); tools/convert_dino_resnet.py writes DINO's ResNet-50"
            )
        check_weights_file(file)
        return file

    def get_checkpoint_file(self) -> str:
        """Return the newest checkpoint of the folder.

        Raises: UserError if the file last_checkpoint does not name a file of the folder.
        """
        mark = Path(self.save_dir) / LAST
        name = read_text(mark, LAST).strip()
        file = mark.with_name(name) if name and Path(name).name == name else None
        if file is None or not os.path.lexists(file):
            raise UserError(
                f"{mark} names {name[:100]!r}, which is no checkpoint in its folder; write the "
                "name of one into it, or start anew"
            )
        return str(file)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Load weights, or resume from the newest checkpoint, as Detectron2 does.

        Raises: UserError, see `load`, and if a run should continue from a file that holds only
            weights.
        """
        rest: dict[str, Any] = super().resume_or_load(path, resume=resume)
        missing = [name for name in self.checkpointables if name not in self._held]
        if resume and self.has_checkpoint() and missing:
            raise UserError(
                f"weights file {self._path} cannot be continued: it holds no state of its "
                f"{missing[0]}; give it as "
                "MODEL.WEIGHTS and start anew"
            )
        return rest

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a file, as Detectron2 does; an empty path loads nothing.

        Raises: UserError for a file of another architecture or job, or with numbers that are not
            finite.
        """
        loaded: dict[str, Any]
        if not path:
            loaded = super().load(path, *args, **kwargs)
            return loaded
        self._path = str(self.local(path))
        try:
            loaded = super().load(self._path, *args, **kwargs)
            return loaded
        except UserError:
            raise
        except (
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            AssertionError,
            RuntimeError,
        ) as error:
            reason = f"{type(error).__name__}: {error}"[:300]
            raise UserError(
                f"weights file {self._path} cannot be continued here ({reason}); was it written by "
                "another job?"
            ) from error

    def _load_file(self, filename: str) -> dict[str, Any]:
        content = read_checkpoint(filename)
        content = content if "model" in content else {"model": content}
        if not _is_state_dict(content["model"]):
            raise UserError(
                f"weights file {filename} holds no parameters by name; give a checkpoint of a "
                "detector, or of a trunk"
            )
        versions = getattr(content["model"], "_metadata", None)
        model = OrderedDict(named_tensors(content["model"], filename))
        check_numbers(model, filename)
        if versions is not None:
            model._metadata = versions  # type: ignore[attr-defined]
        self._held = set(content)
        # Detectron2 places a trunk alone in a detector by the ends of its parameter names.
        is_trunk = any(name.startswith("stem.") for name in model)
        return content | {"model": model} | ({"matching_heuristics": True} if is_trunk else {})

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        self._check_kinds(checkpoint["model"])
        given = _shapes(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        self.missing = tuple(x for x in incompatible.missing_keys if not _is_counter(x))
        misfit = _misfit(given, _shapes(self.model.state_dict()), incompatible)
        if misfit:
            remedy = (
                "its names are torchvision's; tools/convert_dino_resnet.py --input converts them "
                "to Detectron2's"
                if any("layer1.0." in name for name in given)
                else "give the configuration that it was trained with"
            )
            raise UserError(
                f"weights file {self._path} is of another architecture: {misfit}; {remedy}"
            )
        if self.missing:
            logger.info(
                "%s: it has no parameters of %s; they start anew",
                Path(self._path).name,
                ", ".join(dict.fromkeys(map(_part, self.missing))),
            )
        return incompatible

    def _check_kinds(self, given: Mapping[str, Tensor]) -> None:
        """Refuse whole numbers in place of floating-point numbers. Raises: UserError.

        The names in a trunk's file are the ends of the model's names.
        """
        for name, own in self.model.state_dict().items():
            for end in {
                name,
                name.removeprefix("backbone."),
                name.removeprefix("backbone.bottom_up."),
            }:
                if end in given and not is_number_for(own, given[end]):
                    raise UserError(
                        f"weights file {self._path} holds {given[end].dtype} as {end}, where "
                        f"{own.dtype} is needed"
                    )

    def save(self, name: str, **kwargs: Any) -> None:
        """Write model, optimizer, scheduler and `kwargs`; then name the file as last checkpoint."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: part.state_dict() for key, part in self.checkpointables.items()}
        data |= kwargs
        with atomic_binary_file(Path(self.save_dir) / f"{name}.pth") as file:
            torch.save(data, file)
        self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Write the name of the newest checkpoint, atomically."""
        with atomic_text_file(Path(self.save_dir) / LAST) as file:
            file.write(last_filename_basename)


def _misfit(given: Mapping[str, Shape], own: Mapping[str, Shape], incompatible: Any) -> str | None:
    """Return a fact that shows that a file is of another architecture; None if the file fits.

    The file may lack a part of the model, and the model may lack a part of the file. A stage that
    both have must have the same blocks. A part that both have must have the same names.

    Args:
        given: shapes of the file's parameters.
        own: shapes of the model's parameters.
        incompatible: Detectron2's report of the differences.
    """
    unknown = [x for x in incompatible.unexpected_keys if not _is_counter(x)]
    missing = [x for x in incompatible.missing_keys if not _is_counter(x) and not is_predictor(x)]
    shapes = [x for x in incompatible.incorrect_shapes if not is_predictor(x[0])]
    # Detectron2 skips parameters of another shape when it matches names by their ends.
    shapes += [
        (name, given[end], shape)
        for end in unknown
        for name, shape in own.items()
        if f".{name}".endswith(f".{end}") and not is_predictor(name)
    ]
    if shapes:
        return f"{shapes[0][0]} is {shapes[0][1]} in the file and {shapes[0][2]} in the model"
    stages = {_stage(name) for name in given} & {_stage(name) for name in own} - {None}
    blocks = [name for name in missing if _stage(name) in stages]
    if blocks:
        return f"it has no {blocks[0]}"
    parts = {_part(name) for name in missing}
    strange = [x for x in unknown if _stage(x) in stages or _part(x) in parts]
    if strange or 2 * len(unknown) > len(given):
        example = (strange or unknown)[0]
        return f"{len(unknown)} of its {len(given)} parameters are unknown here, such as {example}"
    return None


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor | np.ndarray) for value in content.values())
    )


def _shapes(state: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _stage(name: str) -> str | None:
    """Return the stage of a parameter in a ResNet's block, such as res4; None for any other."""
    match = re.search(r"\b(res\d)\.\d+\.", name)
    return match[1] if match else None


def _part(name: str) -> str:
    """Return the part of the model that holds a parameter, such as roi_heads.box_head."""
    return ".".join(name.split(".")[:2])


def _is_counter(name: str) -> bool:
    """Return True for a norm's step counter, which no code reads and frozen norms lack."""
    return name.endswith("num_batches_tracked")


def load_trained(model: nn.Module, cfg: CfgNode) -> None:
    """Load MODEL.WEIGHTS into a model for an evaluation; without it, the newest checkpoint.

    The newest checkpoint is that of OUTPUT_DIR.

    Raises: UserError if there is neither, or if the file lacks a part of the model. Untrained
        parameters would be scored as if they were a result.
    """
    checkpointer = SafeCheckpointer(model, cfg.OUTPUT_DIR)
    if not cfg.MODEL.WEIGHTS and not checkpointer.has_checkpoint():
        raise UserError(
            f"nothing to evaluate: OUTPUT_DIR {cfg.OUTPUT_DIR} holds no checkpoint and "
            "MODEL.WEIGHTS is empty"
        )
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=not cfg.MODEL.WEIGHTS)
    if checkpointer.missing:
        raise UserError(
            f"weights file {cfg.MODEL.WEIGHTS or checkpointer.get_checkpoint_file()} "
            f"has no {checkpointer.missing[0]} ({len(checkpointer.missing)} parameters are "
            "missing), "
            "and untrained parameters would be evaluated; give the file of a whole trained model"
        )
