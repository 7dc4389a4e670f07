"""Registry of jobs by the name of their model.

Each task registers its jobs in the file `jobs.py` of its room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from detectron2.config import CfgNode

import boxrefine_d2
from boxrefine_d2.errors import UserError

from .loop import Trainer

LoadTrainer = Callable[[], type[Trainer]]


@dataclass(frozen=True)
class Job:
    """Model that can be trained or evaluated.

    Attributes:
        load: imports and returns the trainer; this also imports the model.
        require: raises a UserError if an extra that the job needs is missing. Its argument names
            the part that needs the extra.
    """

    load: LoadTrainer
    require: Callable[[str], object] | None = None


_jobs: dict[str, Job] = {}


def register_job(
    *models: str, require: Callable[[str], object] | None = None
) -> Callable[[LoadTrainer], LoadTrainer]:
    """Return a decorator that registers a function, which imports and returns a trainer.

    Args:
        models: values of MODEL.META_ARCHITECTURE.
        require: see `Job`.
    """

    def register(load: LoadTrainer) -> LoadTrainer:
        _jobs.update(dict.fromkeys(models, Job(load, require)))
        return load

    return register


def trainer_for(cfg: CfgNode) -> type[Trainer]:
    """Return the trainer of MODEL.META_ARCHITECTURE.

    Raises: UserError if no trainer is registered, or if its extra is missing.
    """
    name, jobs = cfg.MODEL.META_ARCHITECTURE, known_jobs()
    if name not in jobs:
        raise UserError(
            f"MODEL.META_ARCHITECTURE {name!r} is not trained here; known: {', '.join(jobs)}"
        )
    job = jobs[name]
    if job.require is not None:
        job.require(f"MODEL.META_ARCHITECTURE {name}")
    return job.load()


def known_jobs() -> dict[str, Job]:
    """Return all registered jobs, including those of this package."""
    _register_own()
    return _jobs


@cache
def _register_own() -> None:
    """Import the `jobs.py` of every room."""
    package = Path(boxrefine_d2.__file__).parent
    for file in sorted(package.glob("*/jobs.py")):
        room = file.parent.name
        if f"{package.name}.{room}" != __package__:
            import_module(f"{package.name}.{room}.jobs")
