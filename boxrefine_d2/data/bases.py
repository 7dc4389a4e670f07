"""Bases of a dataset spec: the loader of each kind, and of registered names."""

from .datasets.class_folders import load_class_folders
from .datasets.coco import load_coco
from .datasets.folder import load_folder
from .datasets.registered import NAMED_DATASETS, load_named
from .datasets.user_catalog import load_user_catalog
from .datasets.voc_splits import load_voc_dataset
from .datasets.wsol_metadata import load_wsol
from .images import RENDERED_BASES, without_base
from .records import LoadedDataset

BASE_FORMS = {
    **{base: f"{base}:SPLIT" for base in RENDERED_BASES},
    "folder": "folder:DIR",
    "classes": "classes:DIR",
    "coco": "coco:JSON:DIR",
    "voc": "voc:ROOT:SPLIT",
    "wsol": "wsol:METADATA_DIR:IMAGE_DIR",
}
NAMED = "name"  # kind of a base that consists of one registered name


def load_base(kind: str, arguments: tuple[str, ...], limit: int | None = None) -> LoadedDataset:
    """Return the data set of a base, before any modifier is applied.

    Args:   kind: key of `BASE_FORMS`, or `NAMED`.  arguments: unescaped parts that follow the kind.
            limit: number of images that the caller needs. A loader that saves work by it returns
            only that many first images; the other loaders return all images.
    Raises: UserError from the loaders.
    """
    if kind in RENDERED_BASES:
        return _load_rendered(kind, arguments[0], limit)
    if kind == "folder":
        return load_folder(arguments[0], limit)
    if kind == "classes":
        return load_class_folders(arguments[0], limit)
    if kind == "coco":
        return load_coco(*arguments)
    if kind == "voc":
        return load_voc_dataset(*arguments)
    if kind == "wsol":
        return load_wsol(arguments[0], arguments[1], limit)
    (name,) = arguments
    return load_named(name) if name in NAMED_DATASETS else load_user_catalog(name)


def _load_rendered(base: str, split: str, limit: int | None) -> LoadedDataset:
    from .scenes import load_scenes  # imported here because the module is large

    records, names = load_scenes(split, limit, base)
    for record in records:
        record["relative_name"] = without_base(record["file_name"])
    return LoadedDataset(records, list(names), list(range(1, len(names) + 1)))
