"""File names that lead out of a folder, for every command that makes files from names."""

import json
import os
import random
from pathlib import Path

from boxrefine_d2.pseudo_labels.export import FORMATS

from . import label_files
from .commands import MINI, aside, command, succeed
from .family import Family, Try
from .sandbox import ESCAPE, Sandbox

_STEMS = (
    *(
        "../{}",
        "../../{}",
        "../../../../../../../../{}",
        "/{}",
        "//{}",
        "{here}/{}",
        "a/../../{}",
        "./../{}",
    ),
    *(
        "..\\{}",
        "..\\..\\{}",
        "C:\\{}",
        "C:{}",
        "\\\\server\\share\\{}",
        "a/..\\../{}",
        "~/{}",
        "$HOME/{}",
    ),
    *(
        "..",
        ".",
        "",
        "/",
        "a/",
        "a//{}",
        "./{}",
        "{}/",
        ".{}",
        "-{}",
        " {} ",
        "{}\n",
        "{}\x00",
        "\udce9{}",
        "{}\udcff",
    ),
    *(
        "CON",
        "nul.txt",
        "{}.",
        "{}:stream",
        "a\tb{}",
        "{}*?",
        "\u202e{}",
        "e\u0301{}",
        "\u2025/{}",
        "%2e%2e/{}",
    ),
    *(
        "images/../../{}",
        "labels/../../../{}",
        "{long}",
        "{deep}",
        "classes.txt",
        "data.yaml",
        "_annotations.csv",
    ),
)


def hostile_name(draw: random.Random, box: Sandbox) -> str:
    """Return an image name that may lead out of its folder; its target has `ESCAPE` in its name."""
    words = {
        "long": "x" * draw.choice((200, 251, 256, 3000)),
        "deep": "d/" * draw.choice((100, 3000)) + ESCAPE,
    }
    stem = draw.choice(_STEMS).format(ESCAPE, here=str(box.root / "home"), **words)
    return stem + draw.choice((".jpg", ".jpg", ".png", ""))


class Paths(Family):
    """A label file with names that lead out of the output directory."""

    name = "paths"
    description = (
        "`../`, absolute, drive-letter, over-long and colliding names in label files, for every "
        "export format, `edit_labels`, `contact_sheet`, `discover` and `evaluate`: no file is "
        "written outside the output directory"
    )
    share = 1.0
    limit = 30.0
    per_child = 25

    def prepare(self, folder: Path) -> None:
        """Import the modules that the commands need."""
        box = Sandbox(folder / "warm")
        path = self._file(label_files.pseudo_labels(), box)
        words = ["--input", path, "--format", "voc", "--output", box.out / "e"]
        aside(lambda: succeed("export", words), folder / "warm.txt")

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with one file and one command."""
        images = box.given / "images"
        label_files.write_images(images)
        content = label_files.pseudo_labels()
        names = [hostile_name(draw, box) for _ in content["images"]]
        if draw.random() < 0.2:
            names = names[:1] * len(names)
        for image, name in zip(content["images"], names, strict=True):
            if draw.random() < 0.7:
                image["file_name"] = name
        if draw.random() < 0.3:
            content["categories"][0]["name"] = draw.choice(
                (f"../{ESCAPE}", f"/{ESCAPE}", "a/b", "a\nb", "", "x" * 300)
            )
        path = self._file(content, box)
        out, target = box.out, str(box.out / "o.json")
        exported = [("export", ["--format", name, "--output", str(out / "e")]) for name in FORMATS]
        others = [
            ("edit_labels", ["top", "--count", "1", "--output", target]),
            ("contact_sheet", ["--data", f"folder:{images}", "--output", str(out / "p.html")]),
        ]
        name, argv = draw.choice([*exported * 2, *others])
        argv = (
            [*argv[:1], "--input", path, *argv[1:]]
            if name == "edit_labels"
            else [*argv, "--input", path]
        )
        if draw.random() < 0.15:
            name, argv = "discover", [*MINI, "--data", f"coco:{path}:{images}", "--output", target]
        return command(f"names {', '.join(map(repr, names))}"[:200], name, argv)

    @staticmethod
    def _file(content: dict, box: Sandbox) -> str:
        path = box.given / "boxes.json"
        path.write_text(json.dumps(content))
        os.chdir(box.root / "here")
        return str(path)
