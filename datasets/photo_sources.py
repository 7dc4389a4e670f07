"""Official downloads of VOC 2007 test, COCO val2017 and ECSSD, as prepare_photos.py reads them.

A box is [x, y, w, h] in pixels of the image, half-open. A size is (H, W) in pixels.
"""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data.datasets.coco import read_coco_document, xyxy_of
from boxrefine_d2.data.datasets.voc import VOC_CLASS_NAMES, load_voc_image, number_classes
from boxrefine_d2.data.image_files import ImageFinder
from boxrefine_d2.data.images import read_image
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import encode_masks

Size = tuple[int, int]
COCO_CATEGORIES = 80  # the official file numbers them from 1 to 90, with gaps
MASK_LEVEL = 128  # gray level from which a pixel of ECSSD's masks is foreground
ECSSD_FOLDERS = (
    ("images", "ground_truth_mask"),  # the official archives
    ("image", "mask"),
    ("Image", "Mask"),
    ("Imgs", "gt"),
    ("Imgs", "GT"),
    ("Imgs", "Imgs"),
)


class PhotoSource(ABC):
    """One official download.

    Attributes:
        flag: argument of the command line that names its folder.
        description: name of the data set.
        download: archives to extract, for messages.
        terms: licence of the photographs and the labels.
        folder: the folder that the user named.
        images: folder of the images.
        category_names: names of the categories 1, 2, ...
        left_out: number of annotations by the reason for which they are left out.
    """

    flag: ClassVar[str]
    description: ClassVar[str]
    download: ClassVar[str]
    terms: ClassVar[str]
    folder: Path
    images: Path
    category_names: Sequence[str]
    left_out: Counter[str]

    def __init__(self, folder: Path):
        self.folder = folder
        self.left_out = Counter()
        if not folder.is_dir():
            state = "is a file, not a folder" if folder.exists() else "does not exist"
            raise UserError(f"--{self.flag} {str(folder)!r} {state}; extract {self.download}")

    @abstractmethod
    def missing(self, name: str) -> str | None:
        """Return the path or entry that the download lacks for an image, or None."""

    @abstractmethod
    def annotations(self, name: str, old: Size, new: Size) -> list[dict[str, Any]]:
        """Return the COCO annotations of one image without `id` and `image_id`.

        Args:   old, new: size of the image in the download and in the data set.
        Raises: UserError for damaged labels, and for labels of an image of another size.
        """

    def image_fields(self, name: str) -> dict[str, Any]:
        """Return additional fields of the image's entry."""
        return {}

    def wrong_folder(self, looked_for: str) -> UserError:
        """Return the error for a folder of another layout."""
        return UserError(
            f"--{self.flag} {str(self.folder)!r} is not {self.description}: looked for "
            f"{looked_for}; extract {self.download} and name the folder that holds this"
        )

    def check_size(self, name: str, size: Size, labelled: Size) -> None:
        """Refuse an image whose labels are in the frame of another size."""
        if size != labelled:
            raise UserError(
                "--{} {!r}: {} has {} x {} pixels (H x W), its labels are for {} x {}; "
                "use the images of the official download, {}".format(
                    *(self.flag, str(self.folder), name, *size, *labelled, self.download)
                )
            )


class Voc2007Test(PhotoSource):
    """PASCAL VOC 2007 test: the objects that are not marked difficult."""

    flag = "voc07"
    description = "PASCAL VOC 2007 test"
    download = "VOCtest_06-Nov-2007.tar"
    terms = "photographs: flickr terms; annotations: free for research"

    def __init__(self, folder: Path):
        super().__init__(folder)
        trees = (folder, folder / "VOC2007", folder / "VOCdevkit" / "VOC2007")
        for tree in trees:
            if (tree / "JPEGImages").is_dir() and (tree / "Annotations").is_dir():
                break
        else:
            raise self.wrong_folder("JPEGImages and Annotations in it, VOC2007, VOCdevkit/VOC2007")
        self.images = tree / "JPEGImages"
        self.category_names = VOC_CLASS_NAMES
        self._tree, self._finder = tree, ImageFinder(self.images)

    def missing(self, name: str) -> str | None:
        """Return the path of the image or of the XML file that does not exist, or None."""
        paths = (self.images / name, self._tree / "Annotations" / f"{Path(name).stem}.xml")
        return next((repr(str(path)) for path in paths if not path.is_file()), None)

    def annotations(self, name: str, old: Size, new: Size) -> list[dict[str, Any]]:
        """Return the boxes [xmin - 1, ymin - 1, xmax, ymax] of the XML, scaled."""
        record = load_voc_image(self._tree, Path(name).stem, self._finder)
        self.check_size(name, old, (record["height"], record["width"]))
        number_classes([record], VOC_CLASS_NAMES, self._tree)
        kept = [entry for entry in record["annotations"] if not entry["difficult"]]
        self.left_out["difficult objects"] += len(record["annotations"]) - len(kept)
        boxes = [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in (e["bbox"] for e in kept)]
        return [
            box_annotation(box, 1 + entry["category_id"], old, new)
            for box, entry in zip(boxes, kept)
        ]


class CocoVal2017(PhotoSource):
    """COCO val2017: the boxes of all objects and crowds, and the captions."""

    flag = "coco"
    description = "COCO val2017"
    download = "val2017.zip and annotations_trainval2017.zip"
    terms = (
        "annotations: CC BY 4.0; photographs: various Creative Commons licences, many of them "
        "non-commercial"
    )

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.images = folder / "val2017"
        self._labels, self._texts = (
            folder / "annotations" / f"{kind}_val2017.json" for kind in ("instances", "captions")
        )
        for path in (self.images, self._labels, self._texts):
            if not path.exists():
                raise self.wrong_folder(repr(str(path)))
        self._read_instances()
        captions = read_coco_document(self._texts, "COCO's captions")
        self._captions: dict[Any, list[str]] = defaultdict(list)
        for entry in captions.get("annotations", []):
            self._captions[entry.get("image_id")].append(str(entry.get("caption", "")).strip())

    def _read_instances(self) -> None:
        document = read_coco_document(self._labels, "COCO's instances")
        self._entries = {entry.get("file_name"): entry for entry in document["images"]}
        self._objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for entry in document.get("annotations", []):
            self._objects[entry.get("image_id")].append(entry)
        names = {entry.get("id"): entry.get("name") for entry in document.get("categories", [])}
        if len(names) != COCO_CATEGORIES:
            raise UserError(
                f"{str(self._labels)!r} has {len(names)} categories; the official file has "
                f"{COCO_CATEGORIES}; extract {self.download}"
            )
        ids = sorted(names)
        self.category_names = [names[category_id] for category_id in ids]
        self._numbers = {category_id: number for number, category_id in enumerate(ids, start=1)}

    def missing(self, name: str) -> str | None:
        """Return the path, or the entry of a JSON file, that does not exist, or None."""
        if not (self.images / name).is_file():
            return repr(str(self.images / name))
        if name not in self._entries:
            return f"{name} in {str(self._labels)!r}"
        if not self._captions.get(self._entries[name].get("id")):
            return f"captions of {name} in {str(self._texts)!r}"
        return None

    def image_fields(self, name: str) -> dict[str, Any]:
        """Return the captions, in the order of the official file."""
        return {"captions": self._captions[self._entries[name]["id"]]}

    def annotations(self, name: str, old: Size, new: Size) -> list[dict[str, Any]]:
        """Return the official boxes, scaled, with categories numbered from 1 to 80."""
        image = self._entries[name]
        self.check_size(name, old, (image.get("height"), image.get("width")))
        result = []
        for entry in self._objects[image["id"]]:
            box, number = entry.get("bbox", ()), self._numbers.get(entry.get("category_id"))
            if xyxy_of(box) is None or number is None:
                raise UserError(
                    f"{str(self._labels)!r}: annotation {entry.get('id')!r} has no box or an "
                    f"unknown category; extract {self.download} again"
                )
            result.append(
                box_annotation(box, number, old, new, is_crowd=bool(entry.get("iscrowd")))
            )
        return result


class Ecssd(PhotoSource):
    """ECSSD: one mask of the salient object per image."""

    flag = "ecssd"
    description = "ECSSD"
    download = "images.zip and ground_truth_mask.zip"
    terms = "research use"
    category_names = ("salient object",)

    def __init__(self, folder: Path):
        super().__init__(folder)
        for root in (folder, folder / "ECSSD"):
            for images, masks in ECSSD_FOLDERS:
                if (root / images).is_dir() and (root / masks).is_dir():
                    self.images, self._masks = root / images, root / masks
                    return
        pairs = ", ".join(f"{images} with {masks}" for images, masks in ECSSD_FOLDERS)
        raise self.wrong_folder(f"{pairs} in it and in ECSSD")

    def _mask(self, name: str) -> Path:
        return self._masks / f"{Path(name).stem}.png"

    def missing(self, name: str) -> str | None:
        """Return the path of the image or of the mask that does not exist, or None."""
        paths = (self.images / name, self._mask(name))
        return next((repr(str(path)) for path in paths if not path.is_file()), None)

    def annotations(self, name: str, old: Size, new: Size) -> list[dict[str, Any]]:
        """Return the mask as RLE, and its box; a reduced mask takes the nearest pixels."""
        path = self._mask(name)
        pixels = read_image(path).max(axis=2)
        self.check_size(name, old, pixels.shape)
        if new != old:
            resized = Image.fromarray(pixels).resize(new[::-1], Image.Resampling.NEAREST)
            pixels = np.asarray(resized)
        mask = pixels >= MASK_LEVEL
        if not mask.any():
            raise UserError(f"mask {str(path)!r} is empty; extract {self.download} again")
        [rle] = encode_masks(mask[None])
        return [
            {
                "category_id": 1,
                "bbox": mask_codec.toBbox(rle).tolist(),
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": rle,
            }
        ]


SOURCES: dict[str, type[PhotoSource]] = {
    source.flag: source for source in (Voc2007Test, CocoVal2017, Ecssd)
}


def box_annotation(
    box: Sequence[float], category_id: int, old: Size, new: Size, *, is_crowd: bool = False
) -> dict[str, Any]:
    """Return a COCO annotation with a box that is scaled and rounded to 1/100 pixel.

    Args:
        box: [x, y, w, h] in an image of the size `old`.
        new: size of the image in the data set; height and width have their own factors.
    """
    across, down = new[1] / old[1], new[0] / old[0]
    factors = (across, down, across, down)
    scaled = [round(value * factor, 2) for value, factor in zip(box, factors)]
    return {
        "category_id": category_id,
        "bbox": scaled,
        "area": round(scaled[2] * scaled[3], 2),
        "iscrowd": int(is_crowd),
    }
