"""Findings about weights: whether the file of each named network is here, and its place."""

import importlib.util
from pathlib import Path

from .finding import BROKEN, MISSING, OK, Finding

_FILE = "model.safetensors"  # name of the file of a network that transformers stores


def weight_findings() -> list[Finding]:
    """Return one finding for each backbone, g, CLIP and captioner. Imports torch.

    CLIPs and captioners are left out if their extra is not installed.
    """
    from boxrefine_d2.networks import BACKBONES
    from boxrefine_d2.networks.build import official_place
    from boxrefine_d2.networks.text_heatmap import HEATMAPS

    findings = []
    for name, spec in BACKBONES.items():
        if spec.read:  # only a training of the user writes its file
            continue
        terms = spec.preset.terms if spec.preset else ""
        findings.append(
            _weight_finding(name, official_place(name), terms or str(spec.weights), terms)
        )
    findings += [_weight_finding(name, spec.weights) for name, spec in HEATMAPS.items()]
    if importlib.util.find_spec("transformers"):
        findings += _language_findings()
    return findings


def _language_findings() -> list[Finding]:
    from boxrefine_d2.language.blip import OFFICIAL
    from boxrefine_d2.language.build import CLIPS

    places = {name: spec.weights for name, spec in CLIPS.items()} | {"blip": OFFICIAL}
    return [
        _weight_finding(name, place / _FILE)
        if isinstance(place, Path)
        else _hub_finding(name, place)
        for name, place in places.items()
    ]


def _weight_finding(name: str, place: Path | None, address: str = "", terms: str = "") -> Finding:
    """Return the finding about one network.

    Args:
        name: name of the network.
        place: path of the file; None for a network without a file of its own.
        address: address of the file.
        terms: page of a licence that must be accepted first; "" if the file is fetched at its
            first use.
    """
    if place is None:
        value = "has no file of its own: train it, or name one"
        return Finding("weights", name, MISSING, value)
    if not place.is_file():
        value = f"{place.name}{'; its licence has to be accepted first' if terms else ''}"
        more = {"path": str(place), "address": address}
        return Finding("weights", name, MISSING, value, address, more=more)
    return _found(name, place)


def _hub_finding(name: str, repository: str) -> Finding:
    """Return the finding about a network that transformers keeps in its cache or fetches."""
    from huggingface_hub import try_to_load_from_cache

    place = try_to_load_from_cache(repository, _FILE)
    if isinstance(place, str):
        return _found(name, Path(place))
    address = f"https://huggingface.co/{repository}"
    fix = f"hf download {repository}, or its folder by name"
    return Finding("weights", name, MISSING, repository, fix, more={"address": address})


def _found(name: str, place: Path) -> Finding:
    from boxrefine_d2.networks.weights import file_sha256

    size = place.stat().st_size
    where = "shipped" if place.is_relative_to(Path(__file__).parents[1]) else "in the cache"
    more = {"path": str(place), "bytes": size}
    if not size:
        fix = f"remove {place}"
        return Finding("weights", name, BROKEN, f"{place.name} is empty", fix, more=more)
    sha256 = file_sha256(place)
    value = f"{where}, {size / 1e6:.1f} MB, sha256 {sha256[:16]}"
    return Finding("weights", name, OK, value, more=more | {"sha256": sha256})


def cache_folder() -> str:
    """Return the folder in which files of weights are looked for. Imports torch."""
    import torch

    return str(Path(torch.hub.get_dir()) / "checkpoints")
