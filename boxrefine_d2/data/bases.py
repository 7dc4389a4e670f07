"""What a dataset spec starts with: the loaders behind scenes:, folder:, coco:, voc: and the
registered names."""

from .datasets.coco import load_coco
from .datasets.folder import load_folder
from .datasets.registered import NAMED_DATASETS, load_named
from .datasets.user_catalog import load_user_catalog
from .datasets.voc_splits import load_voc_dataset
from .images import SCENES_PREFIX
from .records import LoadedDataset

BASE_FORMS = {
    "scenes": "scenes:SPLIT",
    "folder": "folder:DIR",
    "coco": "coco:JSON:DIR",
    "voc": "voc:ROOT:SPLIT",
}
NAMED = "name"  # the kind of a base that is one registered name


def load_base(kind: str, arguments: tuple[str, ...], limit: int | None = None) -> LoadedDataset:
    """The data set of a base, before any modifier.

    Args:   kind: a key of `BASE_FORMS`, or `NAMED`.  arguments: what follows it, unescaped.
            limit: no more than so many images are needed; a loader that can spare itself work
            returns the first so many.
    Raises: UserError from the loaders.
    """
    if kind == "scenes":
        return _load_scenes(arguments[0], limit)
    if kind == "folder":
        return load_folder(arguments[0], limit)
    if kind == "coco":
        return load_coco(*arguments)
    if kind == "voc":
        return load_voc_dataset(*arguments)
    (name,) = arguments
    return load_named(name) if name in NAMED_DATASETS else load_user_catalog(name)


def _load_scenes(split: str, limit: int | None) -> LoadedDataset:
    from .scenes import load_scenes  # here, because its module is not small

    records, names = load_scenes(split, limit)
    for record in records:
        record["relative_name"] = record["file_name"].removeprefix(SCENES_PREFIX)
    return LoadedDataset(records, list(names), list(range(1, len(names) + 1)))
