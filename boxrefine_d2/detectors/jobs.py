"""Training job of this room: detectors."""

from boxrefine_d2.training.jobs import register_job
from boxrefine_d2.training.loop import Trainer


@register_job("ClassAgnosticRCNN", "GeneralizedRCNN")
def detectors() -> type[Trainer]:
    """Import the trainer of CAD, of CutLER, and of ordinary detectors that start from them."""
    from .cad_trainer import CADTrainer

    return CADTrainer
