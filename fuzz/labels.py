"""Damaged label files (JSON, XML, CSV, RLE and lists) for every command that reads them."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from boxrefine_d2.pseudo_labels.edit import DROPS
from boxrefine_d2.pseudo_labels.export import FORMATS

from . import known_damage, label_files
from .commands import MINI, aside, command, succeed
from .family import Family, Try
from .sandbox import Sandbox


class Labels(Family):
    """One damaged label file among valid ones."""

    name = "labels"
    description = (
        "COCO files, results lists, pseudo-label files, RLE, VOC XML, CSV and lists of names with "
        "damaged bytes, tokens and trees, for `evaluate`, `export`, `edit_labels`, "
        "`contact_sheet`, `discover` and `+pseudo=`"
    )
    share = 2.0
    limit = 30.0
    per_child = 25

    def prepare(self, folder: Path) -> None:
        """Import the modules that the commands need."""
        box = Sandbox(folder / "warm")
        files = self._whole(box)
        aside(lambda: self._warm(files, box), folder / "warm.txt")

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with one damaged file and one command."""
        files = self._whole(box)
        uses = self._uses(draw, files, box)
        victim = draw.choice(sorted(uses))
        data = self._damaged(victim, files, draw)
        files[victim].write_bytes(data)
        name, argv = draw.choice(uses[victim])
        return command(f"damaged {victim}", name, argv)

    def _whole(self, box: Sandbox) -> dict[str, Path]:
        given = box.given
        label_files.write_images(given / "images")
        label_files.write_voc(given / "voc")
        label_files.write_open_images(given / "openimages")
        self._contents = {
            "truth": label_files.coco_truth(),
            "predictions": label_files.predictions(),
            "pseudo": label_files.pseudo_labels(),
            "newer": label_files.pseudo_labels(),
            "found_voc": label_files.predictions(label_files.VOC_IDS),
            "found_open": label_files.predictions(label_files.OPEN_IDS),
        }
        files = {name: given / f"{name}.json" for name in self._contents}
        for name, path in files.items():
            path.write_text(json.dumps(self._contents[name]))
        os.environ["DETECTRON2_DATASETS"] = str(given)
        return files | {
            "xml": given / "voc/Annotations/000001.xml",
            "list": given / "voc/ImageSets/Main/test.txt",
            "table": given / "openimages/annotations/validation-annotations-bbox.csv",
            "classes": given / "openimages/annotations/class-descriptions-boxable.csv",
        }

    def _damaged(self, victim: str, files: dict[str, Path], draw: random.Random) -> bytes:
        whole = self._contents.get(victim) or files[victim].read_text()
        known = known_damage.label_file(victim, whole, draw) if draw.random() < 0.4 else None
        if known is not None:
            return known
        if victim in self._contents:
            return label_files.damaged_json(self._contents[victim], draw)
        change: Callable[[str, random.Random], bytes] = (
            label_files.damaged_markup if victim == "xml" else label_files.damaged_table
        )
        return change(whole, draw)

    def _uses(
        self, draw: random.Random, files: dict[str, Path], box: Sandbox
    ) -> dict[str, list[tuple[str, list[str]]]]:
        """Return the commands that read each file."""
        truth, pred, pseudo = (str(files[name]) for name in ("truth", "predictions", "pseudo"))
        newer = str(files["newer"])
        images, out = box.given / "images", box.out
        metrics = draw.choice(("corloc", "ap,ap50,ap75,ar100", "segm_ap,segm_ap50", "corloc,ap"))
        score = ["--metrics", metrics, "--json", str(out / "m.json")]
        coco = f"coco:{truth}:{images}"
        coco += draw.choice(
            ("", "+agnostic", "+separate", "+overlapping", "+one_class", "+first=2")
        )
        to_file = ["--output", str(out / "o.json")]
        evaluated = ("evaluate", ["--gt", coco, "--pred", pred, *score])
        merged = ["merge", "--old", pseudo, "--new", newer, "--min-score", "0.3", *to_file]
        matched = ["matching", "--input", pseudo, "--predictions", newer, *to_file]
        exported = [
            "--input",
            pseudo,
            "--format",
            draw.choice(sorted(FORMATS)),
            "--output",
            str(out / "e"),
            "--overwrite",
        ]
        separate = ["separate", "--input", pseudo, "--drop", draw.choice(DROPS), *to_file]
        top = ["top", "--input", pseudo, "--count", "1", "--min-score", "0.1", *to_file]
        sheet = ["--input", pseudo, "--data", f"folder:{images}", "--output", str(out / "p.html")]
        learnt = ["--gt", f"folder:{images}+pseudo={pseudo}", "--pred", pred, *score]
        voc = ["--gt", f"voc:{box.given / 'voc'}:test", "--pred", str(files["found_voc"]), *score]
        table = ["--gt", "openimages_val", "--pred", str(files["found_open"]), *score]
        discover = ("discover", [*MINI, "--data", coco, *to_file])
        return {
            "truth": [evaluated, evaluated, discover],
            "predictions": [evaluated],
            "newer": [("edit_labels", merged), ("edit_labels", matched)],
            "pseudo": [
                *(("export", exported), ("export", exported), ("edit_labels", separate)),
                *(("edit_labels", merged), ("edit_labels", matched), ("edit_labels", top)),
                *(("contact_sheet", sheet), ("evaluate", learnt)),
                ("evaluate", ["--gt", coco, "--pred", pseudo, *score]),
            ],
            "xml": [("evaluate", voc)],
            "list": [("evaluate", voc)],
            "table": [("evaluate", table)],
            "classes": [("evaluate", table)],
        }

    def _warm(self, files: dict[str, Path], box: Sandbox) -> None:
        uses = self._uses(random.Random(0), files, box)
        for name, argv in (*uses["truth"], *uses["pseudo"], *uses["xml"], *uses["table"]):
            succeed(name, argv)
