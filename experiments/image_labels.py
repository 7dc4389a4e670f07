"""Table of how well the labels of `kinds:`, `fine:` and `pair:` can be learnt.

    python experiments/image_labels.py

A row has the test accuracy of two classifiers: a linear one on frozen features of `resnet_mini`,
and `resnet_mini` with a linear head, trained as a whole. `fine, painted over` is `fine` without the
eyespots, which alone decide the label: there both classifiers must fall to chance. Intervals are
Wilson's, 95 %, over test images.
"""

import argparse
import sys
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from scipy.stats import binomtest
from tabulate import tabulate
from torch import Tensor, nn

from boxrefine_d2.data.scenes.fine import without_eyespot
from boxrefine_d2.data.scenes.layout import Layout
from boxrefine_d2.data.scenes.painting import paint_scene
from boxrefine_d2.data.scenes.worlds import WORLDS
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.text_heatmap import HEATMAPS

SPLITS = ("train", "val", "test")
Change = Callable[[Layout], Layout]
ROWS: dict[str, tuple[str, Change]] = {
    "kinds": ("kinds", lambda layout: layout),
    "pair": ("pair", lambda layout: layout),
    "fine": ("fine", lambda layout: layout),
    "fine, painted over": ("fine", without_eyespot),
}
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the linear classifier; the validation split chooses one
Split = tuple[Tensor, Tensor]  # images (n, 3, S, S), normalised, and labels (n,)


def main(words: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="image_labels.py", description=__doc__)
    parser.add_argument("--side", type=int, default=96, help="images are resized to a square")
    parser.add_argument("--first", type=int, help="use the first N images of each split alone")
    parser.add_argument("--epochs", type=int, default=8, help="of the training as a whole; 0: none")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    args = parser.parse_args(words)
    return run_command(lambda: work(args))


def work(args: argparse.Namespace) -> None:
    """Print the table."""
    table = []
    for title in args.rows:
        world, change = ROWS[title]
        splits = {name: images_of(world, name, args.side, args.first, change) for name in SPLITS}
        classes = len(WORLDS[world].category_names)
        linear = linear_accuracy(splits, classes)
        trained = trained_accuracy(splits, classes, args.epochs) if args.epochs else "-"
        table.append((title, f"{100 / classes:.1f}", linear, trained))
        print(tabulate(table, ("images", "chance", "linear", "trained as a whole")), flush=True)


def images_of(world: str, split: str, side: int, first: int | None, change: Change) -> Split:
    """Return the images of a split, each squeezed to a square, and their labels."""
    home = WORLDS[world]
    images, labels = [], []
    for index in islice(range(home.size(split)), first):
        layout = change(home.layout(split, index))
        pixels = paint_scene(layout, home.painting_generator(split, index))
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        images.append(F.interpolate(image, (side, side), mode="bilinear", antialias=True)[0])
        labels.append(home.label(split, index))
    return normalise_and_pad(images, 1), torch.tensor(labels)


def trunk() -> nn.Module:
    """Return `resnet_mini`: images (B, 3, H, W) to features (B, 256, H / 16, W / 16)."""
    spec = HEATMAPS["heatmap_mini"]
    network = spec.build().encoder
    network.load_state_dict(load_file(str(spec.encoder)))
    return network.eval()


def linear_accuracy(splits: dict[str, Split], classes: int) -> str:
    """Return the test accuracy of logistic regression on mean and maximum of frozen features."""
    network = trunk()
    pooled = {name: _pooled(network, images) for name, (images, _) in splits.items()}
    mean, deviation = pooled["train"].mean(0), pooled["train"].std(0) + 1e-6
    features = {name: (values - mean) / deviation for name, values in pooled.items()}
    heads = [_logistic(features["train"], splits["train"][1], classes, x) for x in DECAYS]
    right = [(head(features["val"]).argmax(1) == splits["val"][1]).sum() for head in heads]
    best = heads[int(np.argmax(right))]
    with torch.no_grad():
        return _accuracy(best(features["test"]), splits["test"][1])


@torch.no_grad()
def _pooled(network: nn.Module, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        maps = torch.cat([network(batch) for batch in images.split(32)]).float()
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


def _logistic(features: Tensor, labels: Tensor, classes: int, decay: float) -> nn.Linear:
    head = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(head.weight)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(features), labels) + decay * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return head


def trained_accuracy(splits: dict[str, Split], classes: int, epochs: int, batch: int = 32) -> str:
    """Return the test accuracy of `resnet_mini` with a linear head on its mean, trained at once.

    Images are mirrored and moved at random. The last epoch is tested.
    """
    torch.manual_seed(0)
    network = nn.Sequential(trunk(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))
    images, labels = splits["train"]
    steps = epochs * -(-len(images) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(batch):
            views = torch.stack([_moved(image) for image in images[chosen]])
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(views)
            loss = F.cross_entropy(logits.float(), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(part) for part in splits["test"][0].split(batch)])
    return _accuracy(logits, splits["test"][1])


def _moved(image: Tensor) -> Tensor:
    shift = image.shape[1] // 10
    down, right = torch.randint(-shift, shift + 1, (2,)).tolist()
    image = image.roll((down, right), (1, 2))
    return image.flip(2) if torch.rand(()) < 0.5 else image


def _accuracy(logits: Tensor, labels: Tensor) -> str:
    right = int((logits.argmax(1) == labels).sum())
    low, high = binomtest(right, len(labels)).proportion_ci(method="wilson")
    return f"{100 * right / len(labels):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    sys.exit(main())
