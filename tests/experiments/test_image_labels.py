"""The table of labels: its classifiers find what is there, and nothing else."""

import pytest
import torch

CLASSES = 3


@pytest.fixture
def script(load_script):
    return load_script("image_labels")


def images(shown, seed):
    """Return grey images with noise; the colour channel that stands out is the label, if shown."""
    torch.manual_seed(seed)
    labels = torch.arange(30) % CLASSES
    pixels = 0.1 * torch.randn(30, 3, 32, 32)
    if shown:
        pixels[torch.arange(30), labels] += 1
    return pixels, labels


@pytest.mark.parametrize("classifier", ["linear", "trained"])
def test_a_label_that_is_shown_is_learnt(script, classifier):
    splits = {name: images(True, seed) for seed, name in enumerate(script.SPLITS)}
    if classifier == "linear":
        accuracy = script.linear_accuracy(splits, CLASSES)
    else:
        accuracy = script.trained_accuracy(splits, CLASSES, epochs=12, batch=10)
    assert float(accuracy.split()[0]) >= 90


def test_a_label_that_is_not_shown_is_not_learnt(script):
    splits = {name: images(False, seed) for seed, name in enumerate(script.SPLITS)}
    share, low, high = script.linear_accuracy(splits, CLASSES).replace("[", "").split()
    assert float(low[:-1]) < 100 / CLASSES < float(high[:-1])


def test_the_table_has_a_row_for_each_choice(script, capsys):
    words = ["--rows", "fine", "fine, painted over", "--first", "8", "--epochs", "0"]
    assert script.main([*words, "--side", "32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[-2:]] == ["fine", "fine, painted over"]
    assert all("12.5" in line for line in lines[-2:])


def test_an_interval_is_wilsons(script):
    """15 of 20: (p + z^2 / 2n -+ z sqrt(p q / n + z^2 / 4n^2)) / (1 + z^2 / n) with z = 1.96."""
    logits, labels = torch.eye(2)[torch.tensor([0] * 15 + [1] * 5)], torch.zeros(20)
    assert script._accuracy(logits, labels) == "75.0 [53.1, 88.8]"
