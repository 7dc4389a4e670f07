"""Data: which of the registered data sets are in place. Only paths are looked at, no file is read."""

from pathlib import Path

from .fact import MISSING, OK, Fact


def data_facts() -> list[Fact]:
    """One finding for each name of `NAMED_DATASETS`. Imports Detectron2."""
    from boxrefine_d2.data.registered import NAMED_DATASETS, datasets_root

    facts = []
    for name, (tree, _) in NAMED_DATASETS.items():
        root = datasets_root() / tree
        lacking = [path for path in _needed(name, root) if not path.exists()]
        more = {"path": str(root)}
        if lacking:
            value = f"{_shown(lacking[0])} is not there"
            facts.append(Fact("data", name, MISSING, value, "see datasets/README.md", more=more))
        else:
            facts.append(Fact("data", name, OK, _shown(root), more=more))
    return facts


def _needed(name: str, root: Path) -> list[Path]:
    """What the loader of a data set opens, as far as its arguments tell."""
    from boxrefine_d2.data.coco20k import LIST_NAME
    from boxrefine_d2.data.registered import NAMED_DATASETS

    given = getattr(NAMED_DATASETS[name][1], "keywords", {})
    if "split" in given:  # VOC
        parts = [f"ImageSets/Main/{given['split']}.txt", "Annotations", "JPEGImages"]
    elif "json_name" in given:  # COCO
        parts = [given["json_name"], given["images"]]
    elif name == "coco20k":
        parts = [LIST_NAME, "annotations/instances_train2014.json", "train2014"]
    else:
        parts = []
    return [root, *(root / part for part in parts)]


def _shown(path: Path) -> str:
    """Relative to the folder of all data sets, whose path heads the section."""
    from boxrefine_d2.data.registered import datasets_root

    return str(path.relative_to(datasets_root()))


def data_folder() -> str:
    """Where registered data sets are looked for. Imports Detectron2."""
    from boxrefine_d2.data.registered import datasets_root

    return str(datasets_root())
