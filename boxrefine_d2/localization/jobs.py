"""Training jobs of this room; their modules take seconds to import."""

from boxrefine_d2.training.jobs import register_job
from boxrefine_d2.training.loop import Trainer


@register_job("ClassifierTraining")
def classifier() -> type[Trainer]:
    """Import the trainer of classifiers."""
    from . import classifier_training  # noqa: F401
    from .classifier_trainer import ClassifierTrainer

    return ClassifierTrainer


@register_job("SiameseTraining")
def siamese() -> type[Trainer]:
    """Import the trainer of Siamese networks."""
    from . import siamese_training  # noqa: F401
    from .weight_map_trainers import SiameseTrainer

    return SiameseTrainer


@register_job("WeightMapTraining")
def weight_map() -> type[Trainer]:
    """Import the trainer of method I of the weight map."""
    from .weight_map_trainers import WeightMapTrainer

    return WeightMapTrainer


@register_job("TripletWeightMapTraining")
def triplet_weight_map() -> type[Trainer]:
    """Import the trainer of method II of the weight map."""
    from .weight_map_trainers import TripletWeightMapTrainer

    return TripletWeightMapTrainer


@register_job("SelfDistilledCam")
def self_distilled_cam() -> type[Trainer]:
    """Import the trainer of SD-CAM."""
    from . import self_distilled_cam  # noqa: F401
    from .class_trainer import ClassTrainer

    return ClassTrainer


@register_job("RepresenterPoints")
def representer_points() -> type[Trainer]:
    """Import the evaluation of representer points."""
    from .representer_trainer import RepresenterTrainer

    return RepresenterTrainer
