import hashlib

from boxrefine_d2.diagnostics import BROKEN, MISSING, OK
from boxrefine_d2.diagnostics.weights import cache_folder, weight_findings
from boxrefine_d2.language.blip import OFFICIAL
from boxrefine_d2.language.build import CLIPS
from boxrefine_d2.networks import BACKBONES, official_file
from boxrefine_d2.networks.text_heatmap import HEATMAPS

# the others have no weights but those of a user's training
WITH_A_FORM = {name for name, spec in BACKBONES.items() if not spec.read}


def test_cached_shipped_empty_missing_and_licensed_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    content = b"some weights" * 1000
    (folder / "dino_deitsmall16_pretrain.pth").write_bytes(content)
    (folder / "dino_vitbase8_pretrain.pth").write_bytes(b"")
    findings = {finding.name: finding for finding in weight_findings()}
    assert set(findings) == {*WITH_A_FORM, *HEATMAPS, *CLIPS, "blip"}
    assert cache_folder() == str(folder)
    assert not any(finding.required for finding in findings.values())

    cached = findings["dino_vits16"]
    assert cached.state == OK
    assert cached.more["sha256"] == hashlib.sha256(content).hexdigest()
    assert cached.more["bytes"] == len(content) and "0.0 MB" in cached.value
    assert cached.more["path"] == str(official_file("dino_vits16"))

    shipped = findings["dino_mini"]
    assert shipped.state == OK and shipped.value.startswith("shipped, ")

    assert (findings["dino_vitb8"].state, findings["dino_vitb8"].fix) == (
        BROKEN,
        f"remove {folder / 'dino_vitbase8_pretrain.pth'}",
    )

    missing = findings["dino_vitb16"]
    assert missing.state == MISSING
    assert missing.more["path"] == str(folder / "dino_vitbase16_pretrain.pth")
    assert missing.fix == missing.more["address"] == BACKBONES["dino_vitb16"].weights

    gated = findings["dinov3_vits16"]
    assert "licence" in gated.value and gated.fix.startswith("https://ai.meta.com/")
    assert findings["move_vits8"].state == MISSING and not findings["move_vits8"].fix


def test_networks_of_phrases(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--openai--clip-vit-base-patch32/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"some weights")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    findings = {finding.name: finding for finding in weight_findings()}
    for name in ("clip_mini", "heatmap_mini"):
        assert findings[name].state == OK and findings[name].value.startswith("shipped, ")
    clip = findings["clip_vitb32"]
    assert clip.state == OK and clip.more["path"] == str(snapshot / "model.safetensors")
    assert findings["heatmap_vgg16"].state == MISSING and not findings["heatmap_vgg16"].fix
    blip = findings["blip"]
    assert blip.state == MISSING and blip.value == OFFICIAL and OFFICIAL in blip.fix
    assert blip.more["address"] == f"https://huggingface.co/{OFFICIAL}"


def test_without_transformers_no_clip_is_looked_for(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {finding.name for finding in weight_findings()} == {*WITH_A_FORM, *HEATMAPS}
