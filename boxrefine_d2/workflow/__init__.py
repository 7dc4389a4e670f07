"""Commands that follow each other, each of them run once for what it is given."""

from .child import run_child
from .plan import Stage, plan_of_file, plan_of_stages
from .runner import run_plan
from .self_training import SelfTraining

__all__ = ["SelfTraining", "Stage", "plan_of_file", "plan_of_stages", "run_child", "run_plan"]
