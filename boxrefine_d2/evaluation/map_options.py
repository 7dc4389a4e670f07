"""Options of the metrics of score maps."""

from dataclasses import dataclass

from boxrefine_d2.errors import UserError, check_choice

from .ground_truth import GroundTruth
from .predictions import PredictionFile
from .score_maps import NORMALISATIONS

V2_RULES = ("per_delta", "common")
THRESHOLDS_FROM = ("fixed", "val", "test")
MAX_RESIZE = 4096


@dataclass(frozen=True)
class MapOptions:
    """Reading of maps, and source of thresholds.

    Attributes:
        resize: side of the square frame of all maps in pixels; 0 is the size of each image.
        normalise: key of `NORMALISATIONS`.
        v2_rule: "per_delta" is MaxBoxAccV2 as published, with a threshold for each IoU and the
            boxes of all contours; "common" has one threshold and the box of the largest contour, as
            the code of representer points (NeurIPS 2023).
        threshold_from: "test" takes the best threshold on the scored images, "val" the best one on
            `validation`, and "fixed" takes `threshold`.
        threshold: the fixed threshold, in [0, 1).
        validation: data and results file that choose the thresholds.
    """

    resize: int = 224
    normalise: str = "minmax"
    v2_rule: str = "per_delta"
    threshold_from: str = "test"
    threshold: float | None = None
    validation: tuple[GroundTruth, PredictionFile] | None = None

    def check(self) -> None:
        """Refuse impossible options. Raises: UserError."""
        check_choice("--map-normalise", self.normalise, NORMALISATIONS)
        check_choice("--v2-rule", self.v2_rule, V2_RULES)
        check_choice("--threshold-from", self.threshold_from, THRESHOLDS_FROM)
        if not 0 <= self.resize <= MAX_RESIZE:
            raise UserError(
                f"--map-resize {self.resize}: give 1 to {MAX_RESIZE} pixels, or 0 for no resize"
            )
        if (self.threshold is not None) != (self.threshold_from == "fixed"):
            raise UserError("--threshold-from fixed and --threshold T need each other")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise UserError(f"--threshold {self.threshold}: it must be at least 0 and less than 1")
        if (self.validation is not None) != (self.threshold_from == "val"):
            raise UserError(
                "--threshold-from val needs --val-gt SPEC and --val-pred FILE, and they need it"
            )
