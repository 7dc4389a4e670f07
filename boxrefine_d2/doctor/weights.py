"""Weights: for each backbone, whether its file is here, and where it belongs."""

from pathlib import Path

from .fact import BROKEN, MISSING, OK, Fact


def weight_facts() -> list[Fact]:
    """One finding for each name of `BACKBONES`. Imports torch."""
    from boxrefine_d2.features import BACKBONES

    return [_weight_fact(name) for name in BACKBONES]


def _weight_fact(name: str) -> Fact:
    from boxrefine_d2.features.build import BACKBONES, SHIPPED, official_place
    from boxrefine_d2.features.weights import file_sha256

    spec, place = BACKBONES[name], official_place(name)
    if place is None:
        value = "has no file of its own: train it, or name one with --weights FILE"
        return Fact("weights", name, MISSING, value)
    if not place.is_file():
        return _missing(name, place, str(spec.weights), spec.preset.terms if spec.preset else "")
    size = place.stat().st_size
    where = "shipped" if place.is_relative_to(SHIPPED) else "in the cache"
    more = {"path": str(place), "bytes": size}
    if not size:
        fix = f"remove {place}"
        return Fact("weights", name, BROKEN, f"{place.name} is empty", fix, more=more)
    sha256 = file_sha256(place)
    value = f"{where}, {size / 1e6:.1f} MB, sha256 {sha256[:16]}"
    return Fact("weights", name, OK, value, more=more | {"sha256": sha256})


def _missing(name: str, place: Path, address: str, terms: str) -> Fact:
    """Args: terms: where a licence has to be accepted first; "" if the file is fetched at its first use."""
    value = f"{place.name}{'; its licence has to be accepted first' if terms else ''}"
    more = {"path": str(place), "address": terms or address}
    return Fact("weights", name, MISSING, value, terms or address, more=more)


def cache_folder() -> str:
    """Where files of weights are looked for. Imports torch."""
    import torch

    return str(Path(torch.hub.get_dir()) / "checkpoints")
