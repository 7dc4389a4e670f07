"""Findings about the registered data sets. Only paths are checked; no file is read."""

from pathlib import Path

from .finding import MISSING, OK, Finding


def data_findings() -> list[Finding]:
    """Return one finding for each name of `NAMED_DATASETS`. Imports Detectron2."""
    from boxrefine_d2.data.datasets.registered import NAMED_DATASETS, needed_paths

    findings = []
    for name in NAMED_DATASETS:
        root, *parts = needed_paths(name)
        lacking = [path for path in (root, *parts) if not path.exists()]
        more = {"path": str(root)}
        if lacking:
            value = f"{_shown(lacking[0])} is not there"
            findings.append(
                Finding("data", name, MISSING, value, "see datasets/README.md", more=more)
            )
        else:
            findings.append(Finding("data", name, OK, _shown(root), more=more))
    return findings


def _shown(path: Path) -> str:
    """Return a path relative to the folder of all data sets, which heads the section."""
    from boxrefine_d2.data.datasets.registered import datasets_root

    return str(path.relative_to(datasets_root()))


def data_folder() -> str:
    """Return the folder of the registered data sets. Imports Detectron2."""
    from boxrefine_d2.data.datasets.registered import datasets_root

    return str(datasets_root())
