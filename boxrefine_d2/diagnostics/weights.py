"""Weights: for each network that has a name, whether its file is here, and where it belongs."""

import importlib.util
from pathlib import Path

from .finding import BROKEN, MISSING, OK, Finding

_FILE = "model.safetensors"  # of a network that transformers keeps


def weight_findings() -> list[Finding]:
    """One finding for each backbone and g, and each CLIP and captioner if their extra is installed. Imports torch."""
    from boxrefine_d2.networks import BACKBONES
    from boxrefine_d2.networks.build import official_place
    from boxrefine_d2.networks.text_heatmap import HEATMAPS

    findings = []
    for name, spec in BACKBONES.items():
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
    """Args:
    place: None for a network that has no file of its own.
    address: where the file can be had.
    terms: where a licence has to be accepted first; "" if the file is fetched at its first use.
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
    """Of a network that transformers looks for in its cache, and then asks its host for."""
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
    """Where files of weights are looked for. Imports torch."""
    import torch

    return str(Path(torch.hub.get_dir()) / "checkpoints")
