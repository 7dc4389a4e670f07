"""Pipelines: commands run in order, each of them once for the same command line and inputs."""

from .child import run_child
from .plan import Stage, plan_of_file, plan_of_stages
from .run_record import settle_record
from .runner import is_at_work, run_plan
from .self_training import SelfTraining

__all__ = [
    "SelfTraining",
    "Stage",
    "is_at_work",
    "plan_of_file",
    "plan_of_stages",
    "run_child",
    "run_plan",
    "settle_record",
]
