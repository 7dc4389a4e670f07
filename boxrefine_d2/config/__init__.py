"""The configuration: Detectron2's keys and ours, with every default, unit, limit and source.

The defaults are the paper profile. They come from "Box-based Refinement for Weakly Supervised
and Unsupervised Localization Tasks" (ICCV 2023) and from the methods that it builds on; where a
paper is silent, they come from its code. `sections` has one file for each subject.
"""

from functools import cache

from detectron2.config import CfgNode, get_cfg

from .known import know, known_sections
from .section import Key, Section

__all__ = [
    "Key",
    "Section",
    "add_boxrefine_config",
    "add_section",
    "boxrefine_cfg",
    "paper_profile",
]


def add_boxrefine_config(cfg: CfgNode) -> None:
    """Add our keys, with their defaults, to Detectron2's."""
    for section in known_sections():
        node = cfg
        for part in filter(None, section.name.split(".")):
            if part not in node:
                node[part] = CfgNode()
            node = node[part]
        for name, key in section.keys.items():
            node[name] = key.default


def add_section(section: Section) -> None:
    """Add a section of another package to every later configuration.

    Raises: ValueError for a name that one of our own sections has.
    """
    know(section)
    paper_profile.cache_clear()


def boxrefine_cfg() -> CfgNode:
    """Return Detectron2's configuration with our keys: the paper profile, to be changed."""
    cfg = get_cfg()
    add_boxrefine_config(cfg)
    return cfg


@cache
def paper_profile() -> CfgNode:
    """Return the defaults, frozen. A value that a command line does not give comes from here."""
    cfg = boxrefine_cfg()
    cfg.freeze()
    return cfg
