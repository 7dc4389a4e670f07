"""Training jobs of this room; their modules take seconds to import."""

from boxrefine_d2.errors import require_grounding
from boxrefine_d2.training.jobs import register_job
from boxrefine_d2.training.loop import Trainer


@register_job("HeatmapTraining", require=require_grounding)
def heatmap() -> type[Trainer]:
    """Import the trainer of g."""
    from .grounding_trainers import HeatmapTrainer

    return HeatmapTrainer


@register_job("GroundingRefiner", require=require_grounding)
def refinement() -> type[Trainer]:
    """Import the trainer that refines g."""
    from .grounding_trainers import GroundingRefineTrainer

    return GroundingRefineTrainer


@register_job("WhatIsWhere", require=require_grounding)
def what_is_where() -> type[Trainer]:
    """Import the trainer that evaluates "what is where by looking"."""
    from .grounding_trainers import WhatIsWhereTrainer

    return WhatIsWhereTrainer
