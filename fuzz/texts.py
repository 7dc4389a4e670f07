"""Hostile texts in all inputs of pages and figures; a page may have no live markup."""

import json
import os
import random
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from . import label_files
from .commands import SHORT, aside, checked, command, pairs, succeed
from .family import Family, Try
from .sandbox import Sandbox

MARKER = "fuzzmark"
TEXTS = (
    *(
        f"<{MARKER}>",
        f"</td></table><{MARKER} onload=x>",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
    ),
    *(
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        '" onfocus="alert(1)" autofocus="',
        "javascript:alert(1)",
    ),
    *(
        "</title><script>1</script>",
        "</style><script>1</script>",
        "-->",
        "<!--",
        "<![CDATA[",
        "]]>",
        "&lt;b&gt;",
        "&#60;b&#62;",
    ),
    *(
        "$x^2$",
        "\\frac{1}{2}",
        "$\\undefined$",
        "$",
        "a $5 bill",
        "{{7*7}}",
        "{0}",
        "%s%n",
        "\\",
        "`id`",
        "$(id)",
    ),
    *(
        "\ud800",
        "\udce9\udcff",
        "\x00",
        "\x01\x08\x0b\x1f",
        "\x7f\x85",
        "a\nb\r\nc",
        "\u2028",
        "\ufeff",
        "\ufffe",
        "\x1b[31m",
    ),
    *(
        "\u202eabc",
        "e\u0301" * 50,
        "一只浣熊",
        "שלום",
        "👩‍👩‍👧‍👦",
        "z" + "\u0300" * 300,
        "x" * 3000,
        "a b " * 800,
        "",
        " ",
    ),
)
_URLS = (
    "href",
    "src",
    "action",
    "formaction",
    "xlink:href",
    "data",
    "background",
    "poster",
    "srcdoc",
)


def hostile_text(draw: random.Random) -> str:
    """Return a hostile text, or two joined."""
    text = draw.choice(TEXTS)
    return text + draw.choice(TEXTS) if draw.random() < 0.2 else text


def hostile_tree(content: Any, draw: random.Random, share: float = 0.2) -> Any:
    """Return nested content with a share of its texts replaced by hostile ones; keys stay."""
    if isinstance(content, dict):
        return {key: hostile_tree(value, draw, share) for key, value in content.items()}
    if isinstance(content, list):
        return [hostile_tree(value, draw, share) for value in content]
    return hostile_text(draw) if isinstance(content, str) and draw.random() < share else content


def live_markup(path: Path) -> str:
    """Return the live markup of an HTML file, or why it is not a page; "" if it is harmless."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return f"the page is not UTF-8: {error.reason}"
    parser = _LiveMarkup()
    parser.feed(text)
    parser.close()
    return "; ".join(dict.fromkeys(parser.live))[:300]


class _LiveMarkup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.live: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in (MARKER, "script", "iframe", "object", "embed", "base", "link", "form"):
            self.live.append(f"<{tag}>")
        for name, value in attrs:
            text = "".join((value or "").split()).lower()
            if name.startswith("on") or name in ("srcdoc", "autofocus"):
                self.live.append(f"<{tag} {name}>")
            if name in _URLS and not text.startswith(("data:image/", "#")) and tag != "a":
                self.live.append(f"<{tag} {name}={text[:40]!r}>")
            if text.startswith(("javascript:", "data:text", "vbscript:")):
                self.live.append(f"<{tag} {name}={text[:40]!r}>")

    handle_startendtag = handle_starttag


class Texts(Family):
    """A command that makes a page or a figure from hostile texts."""

    name = "texts"
    description = (
        "markup, `$`, surrogates, control characters and long texts in file names, phrases, "
        "`info`, specs and results, for the pages and figures of `contact_sheet`, `report`, `demo` "
        "and `describe`; pages are parsed for live markup"
    )
    share = 1.5
    limit = 90.0

    def prepare(self, folder: Path) -> None:
        """Make a run with boxes and a run with phrases for reports; import needed modules."""
        self._runs = {"lost_refine": folder / "boxes", "grounding_train": folder / "phrases"}
        self._image = folder / "images" / "a.jpg"
        label_files.write_images(folder / "images")
        aside(lambda: self._make(folder), folder / "log.txt")

    def _make(self, folder: Path) -> None:
        settings = {
            "DATASETS.TRAIN": "('scenes:train+first=2',)",
            "DATASETS.TEST": "('scenes:val+first=2',)",
            "MODEL.CLIP.WEIGHTS": "random:0",
            "MODEL.MAP_NETWORK.WEIGHTS": "random:0",
        }
        for name, run in self._runs.items():
            file = f"configs/demo/{name}.yaml"
            short = (
                SHORT
                if name == "lost_refine"
                else {k: v for k, v in SHORT.items() if "REFINE" not in k}
            )
            succeed(
                "train_net", ["--config-file", file, *pairs(settings, short, {"OUTPUT_DIR": run})]
            )
            succeed("report", [run, "--output", folder / "warm.html"])
            if wrong := live_markup(folder / "warm.html"):
                raise RuntimeError(
                    f"the check for live markup fails on a page of harmless texts: {wrong}"
                )
        for argv in (["--phrase", "a cat"], ["--method", "lost", "--backbone", "dino_mini"]):
            succeed("demo", [self._image, *argv, "--output", folder / "warm.png"])
        succeed("describe", [self._image, "--output", folder / "warm.png"])

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with one command and its texts."""
        ways = [self._sheet, self._sheet, self._report, self._report, self._demo, self._describe]
        return draw.choice(ways)(draw, box)

    def _sheet(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with hostile file and folder names and texts of a pseudo-label file."""
        content = label_files.pseudo_labels()
        folder = box.given / _file_name(draw)
        label_files.write_images(folder)
        for image in content["images"]:
            name = _file_name(draw) + draw.choice((".jpg", ".png"))
            if draw.random() < 0.7:
                os.rename(folder / image["file_name"], folder / name)
                image["file_name"] = name
        content["info"] = hostile_tree(content["info"], draw, 0.4)
        if draw.random() < 0.3:
            content["info"] = {hostile_text(draw): hostile_text(draw), **content["info"]}
        path, page = box.given / f"{_file_name(draw)}.json", box.out / "p.html"
        path.write_text(json.dumps(content))
        spec = str(folder).replace("%", "%25").replace("+", "%2B").replace(":", "%3A")
        argv = ["--input", str(path), "--data", f"folder:{spec}", "--output", str(page)]
        return checked(command("contact_sheet", "contact_sheet", argv), lambda: live_markup(page))

    def _report(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a finished run and hostile texts in its JSON files."""
        name = draw.choice(sorted(self._runs))
        run, page = box.given / "run", box.out / "p.html"
        shutil.copytree(self._runs[name], run)
        for path in sorted(run.rglob("*.json")):
            if path.name == "metrics.json" or draw.random() < 0.3:
                continue
            content = hostile_tree(
                json.loads(path.read_text()), draw, draw.choice((0.02, 0.1, 0.5))
            )
            path.write_text(json.dumps(content))
        argv = [str(run), "--output", str(page)]
        return checked(command(f"report of {name}", "report", argv), lambda: live_markup(page))

    def _demo(self, draw: random.Random, box: Sandbox) -> Try:
        image = self._named_image(draw, box)
        phrases = [f"--phrase={_argument(draw)}" for _ in range(draw.choice((1, 1, 2)))]
        return command("demo", "demo", [image, *phrases, "--output", str(box.out / "p.png")])

    def _describe(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with a list of hostile captions."""
        image, captions = self._named_image(draw, box), box.given / "captions.txt"
        lines = "\n".join(hostile_text(draw) for _ in range(draw.choice((2, 5, 40))))
        captions.write_text(lines, encoding="utf-8", errors="surrogatepass")
        chosen = ["--set", f"MODEL.CAPTIONER.WEIGHTS={captions}"]
        json_file = ["--json", str(box.out / "o.json")]
        return command(
            "describe", "describe", [image, "--output", str(box.out / "p.png"), *json_file, *chosen]
        )

    def _named_image(self, draw: random.Random, box: Sandbox) -> str:
        path = box.given / f"{_file_name(draw)}.jpg"
        shutil.copyfile(self._image, path)
        return str(path)


def _argument(draw: random.Random) -> str:
    """Return a hostile text that the system can pass to a command."""
    text = hostile_text(draw).replace("\0", "").replace("\ud800", "")
    return os.fsdecode(os.fsencode(text))


def _file_name(draw: random.Random) -> str:
    """Return a hostile text that can be the name of a file, not of a hidden one."""
    text = _argument(draw).replace("/", "∕").lstrip(".")
    return os.fsdecode(os.fsencode(text)[:200]).strip() or "plain"
