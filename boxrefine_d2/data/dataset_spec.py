"""Dataset specs: strings that name the images and the labels of a data set.

    BASE[+MODIFIER[=VALUE]]...        modifiers apply from left to right

    BASE        a form of `bases.BASE_FORMS` (scenes:SPLIT, folder:DIR, ...), or a registered name:
                voc_2007_trainval, coco20k, ..., or any name in Detectron2's DatasetCatalog
    MODIFIER    agnostic      one category, "object"
                first=N       the first N images
                every=N       every Nth image, starting with the first
                not_every=N   the images that every=N leaves out
                overlapping   images in which two boxes overlap (IoU > 0); crowds do not count
                separate      all other labelled images
                pseudo=FILE   labels from a pseudo-label file; an image without any there has none
                one_class     images whose objects all have one class, which is the image's label
                classes=A,B   the objects and images of these classes alone

Inside a path, write "+" as %2B and ":" as %3A. Write "%" as %25 where 2B, 3A or 25 follows it.
Inside the name of a class, also write "," as %2C.
Relative paths start at the working directory.
"""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import user_name

from .bases import BASE_FORMS, NAMED, load_base
from .datasets.registered import NAMED_DATASETS, needed_paths
from .datasets.voc import VOC_CLASS_NAMES
from .frames import in_pixel_frame
from .pseudo_categories import OBJECT_NAME
from .records import LoadedDataset, Record
from .spec_modifiers import ESCAPE_HINT, Modifier, escape_path, parse_modifier, unescape_path

__all__ = [
    "DatasetSpec",
    "Modifier",
    "escape_path",
    "files_of_spec",
    "load_spec",
    "parse_spec",
    "register_spec",
]

_registered_here: set[str] = set()


@dataclass(frozen=True)
class DatasetSpec:
    """A parsed spec.

    `kind` is a key of `BASE_FORMS`, and `arguments` are its unescaped parts. For a registered name,
    `kind` is "name" and `arguments` holds that one name. `parse_spec(str(spec))` equals `spec`.
    """

    kind: str
    arguments: tuple[str, ...]
    modifiers: tuple[Modifier, ...] = ()

    def __str__(self) -> str:
        arguments = [escape_path(argument) for argument in self.arguments]
        base = ":".join(arguments if self.kind == NAMED else [self.kind, *arguments])
        return "+".join([base, *map(str, self.modifiers)])


def parse_spec(text: str) -> DatasetSpec:
    """Return the parts of a spec without reading anything from disk.

    Raises: UserError for an unknown name, kind or modifier (the message lists the known ones), and
            for a part that is missing, surplus or of the wrong form.
    """
    base, *modifiers = text.strip().split("+")
    kind, arguments = _parse_base(base, text)
    return DatasetSpec(kind, arguments, tuple(parse_modifier(part, text) for part in modifiers))


def load_spec(text: str) -> LoadedDataset:
    """Return the records and categories of a spec. Every record has its `relative_name`.

    Raises: UserError for a spec that does not parse, a missing or damaged file, or labels that do
            not fit the images.
    """
    spec = parse_spec(text)
    dataset = load_base(spec.kind, tuple(map(user_name, spec.arguments)), _limit_of_base(spec))
    for modifier in spec.modifiers:
        dataset = modifier(dataset)
    return dataset


def files_of_spec(text: str) -> list[str]:
    """Return the files and folders that a spec reads, for checks that no output overwrites one.

    A name in `NAMED_DATASETS` gives its `needed_paths`. Scenes give no path, and neither do names
    that are only in Detectron2's catalog.

    Raises: UserError for a spec that does not parse.
    """
    spec = parse_spec(text)
    labels = [str(m.value) for m in spec.modifiers if isinstance(m.value, str)]
    return [user_name(path) for path in (*_paths_of_base(spec), *labels)]


def _paths_of_base(spec: DatasetSpec) -> list[str]:
    if spec.kind in ("folder", "classes", "coco", "wsol"):
        return list(spec.arguments)
    if spec.kind == "voc":
        return [spec.arguments[0]]
    if spec.kind == NAMED and spec.arguments[0] in NAMED_DATASETS:
        return list(map(str, needed_paths(spec.arguments[0])))
    return []


def register_spec(text: str) -> str:
    """Register a spec with Detectron2's catalogs and return its registered name.

    The registered name is the text itself, with one exception: a data set that the user's code
    registered keeps its entry unchanged, and its spec gets the name `NAME (checked)`. From then on
    this package loads the names of `NAMED_DATASETS`, including those for which Detectron2 ships a
    loader (voc_2007_trainval, ...). A second registration changes nothing.

    This function parses the spec. The catalog loads the data set on request. Users of the catalog
    join labels to pixels, and therefore the load compares the two (`in_pixel_frame`).
    The MetadataCatalog holds `thing_classes` at once if the names are known without loading.
    Otherwise it holds them after the first load, as it does `thing_dataset_id_to_contiguous_id`.

    Raises: UserError for a spec that does not parse.
    """
    text = text.strip()
    spec = parse_spec(text)
    name = text
    if text in DatasetCatalog and text not in _registered_here:
        if text in NAMED_DATASETS:
            DatasetCatalog.remove(text)
        else:
            name = f"{text} (checked)"
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, _catalog_function(text, name))
        _registered_here.add(name)
        names = _names_without_loading(spec)
        if names is not None:
            _describe(name, thing_classes=names)
    return name


def _catalog_function(text: str, name: str) -> Callable[[], list[Record]]:
    def load() -> list[Record]:
        dataset = in_pixel_frame(load_spec(text), text)
        own_ids = {own: index for index, own in enumerate(dataset.category_ids)}
        _describe(
            name,
            thing_classes=dataset.category_names,
            thing_dataset_id_to_contiguous_id=own_ids,
            corloc_rounds_boxes=dataset.corloc_rounds_boxes,
        )
        return dataset.records

    return load


def _describe(name: str, **values: Any) -> None:
    """Set metadata of a name, and replace other values that Detectron2 ships for it."""
    before = MetadataCatalog.get(name).as_dict()
    if any(key in before and before[key] != value for key, value in values.items()):
        MetadataCatalog.remove(name)
        values = {**before, **values}
        del values["name"]
    MetadataCatalog.get(name).set(**values)


def _names_without_loading(spec: DatasetSpec) -> list[str] | None:
    names = [modifier.name for modifier in spec.modifiers]
    if "agnostic" in names:
        return [OBJECT_NAME]
    if "classes" in names or "pseudo" in names:
        return None
    name = spec.arguments[0] if spec.kind == NAMED else ""
    if name in NAMED_DATASETS and name.startswith("voc_"):
        return list(VOC_CLASS_NAMES)
    return [] if spec.kind == "folder" else None


def _limit_of_base(spec: DatasetSpec) -> int | None:
    """Return the number of images that the base has to load, or None for all of them.

    +pseudo is checked against all images before it, and other modifiers choose among them.
    Therefore only a +first before these modifiers limits the base.
    """
    limits = []
    for modifier in spec.modifiers:
        if modifier.name not in ("agnostic", "first"):
            break
        if isinstance(modifier.value, int):
            limits.append(modifier.value)
    return min(limits, default=None)


def _parse_base(base: str, text: str) -> tuple[str, tuple[str, ...]]:
    kind, *arguments = base.split(":")
    if kind in BASE_FORMS:
        form = BASE_FORMS[kind]
        wanted = form.count(":")
        if len(arguments) < wanted or not all(arguments[:wanted]):
            raise UserError(f"dataset spec {text!r} is incomplete: it should read {form}")
        if len(arguments) > wanted:
            raise UserError(
                f"dataset spec {text!r} has more than {wanted} ':', expected {form}; {ESCAPE_HINT}"
            )
        return kind, tuple(map(unescape_path, arguments))
    name = unescape_path(base)
    if not arguments and (name in NAMED_DATASETS or name in DatasetCatalog):
        return NAMED, (name,)
    raise UserError(_unknown_base(base, kind, text))


def _unknown_base(base: str, kind: str, text: str) -> str:
    folder = unescape_path(base)
    catalogued = [name for name in DatasetCatalog.list() if name not in _registered_here]
    candidates = BASE_FORMS if ":" in base else [*NAMED_DATASETS, *BASE_FORMS, *catalogued]
    close = difflib.get_close_matches(kind, candidates, n=1)
    parts = [f"unknown data set {base!r} in {text!r}"]
    if os.path.isdir(folder):
        parts.append(f"for the images in this folder write folder:{escape_path(folder)}")
    elif close:
        parts.append(f"did you mean {BASE_FORMS.get(close[0], close[0])}")
    parts.append(
        f"known: {', '.join([*NAMED_DATASETS, *BASE_FORMS.values()])}, "
        "and the names in Detectron2's DatasetCatalog"
    )
    if ":" in base:
        parts.append(ESCAPE_HINT)
    return "; ".join(parts)
