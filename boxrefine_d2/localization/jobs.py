"""Training jobs of this room; their modules take seconds to import."""

from boxrefine_d2.training.jobs import register_job
from boxrefine_d2.training.loop import Trainer


@register_job("ClassifierTraining")
def classifier() -> type[Trainer]:
    """Import the trainer of classifiers."""
    from .classifier_training import ClassifierTrainer

    return ClassifierTrainer
