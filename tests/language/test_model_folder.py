"""A damaged or hostile folder of `transformers` is refused in one line.

No code of it runs, and it takes no memory that it only announces.
"""

import json
import os
import shutil

import pytest
import safetensors.torch
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.blip import build_blip
from boxrefine_d2.language.build import SHIPPED, build_clip
from tests.networks.hostile_files import WRITERS, mark_of

ORIGIN = SHIPPED / "clip_mini"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(ORIGIN, tmp_path / "clip")


def refusal(folder) -> str:
    with pytest.raises(UserError) as caught:
        build_clip("clip_mini", folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_weights_are_refused_in_a_line(folder, name):
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    WRITERS[name](path)
    refusal(folder)
    assert not mark_of(path).exists()


@pytest.mark.parametrize("name", ["pipe", "nothing", "git-lfs pointer", "header that nests deep"])
def test_safetensors_are_refused_in_a_line(folder, name):
    (folder / "model.safetensors").unlink()
    WRITERS[name](folder / "model.safetensors")
    assert "weights file" in refusal(folder)


def test_files_of_torch_and_divided_ones_are_read(folder):
    whole = build_clip("clip_mini").model.state_dict()
    state = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    found = build_clip("clip_mini", folder).model.state_dict()
    assert all(found[key].equal(value) for key, value in whole.items())

    (folder / "pytorch_model.bin").unlink()
    place = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(state)}
    for file in set(place.values()):
        part = {name: value for name, value in state.items() if place[name] == file}
        safetensors.torch.save_file(part, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": place}))
    found = build_clip("clip_mini", folder).model.state_dict()
    assert all(found[key].equal(value) for key, value in whole.items())

    index.write_text(json.dumps({"weight_map": dict.fromkeys(place, "../model-0.safetensors")}))
    assert "names no files of its folder" in refusal(folder)


def test_numbers_that_are_not_finite_are_refused(folder):
    state = safetensors.torch.load_file(folder / "model.safetensors")
    state["logit_scale"] = torch.tensor(torch.nan)
    safetensors.torch.save_file(state, folder / "model.safetensors")
    assert "holds numbers that are not finite, first: logit_scale" in refusal(folder)


CONFIGS = [
    ("", "is empty"),
    ("hello", "is not JSON"),
    ("<!DOCTYPE html>", "is an HTML page"),
    ("[1]", "holds no settings"),
    ("[" * 100_000, "nested too deep"),
    ({"text_config": None}, "missing or of another shape"),
    ({"text_config": 3}, "cannot be read from"),
    ({"vision_config": {"hidden_size": 10**9}}, "vision_config.hidden_size is 1000000000; at most"),
    ({"vision_config": {"hidden_size": 900_000}}, "missing or of another shape"),
    ({"vision_config": {"num_hidden_layers": 10**6}}, "num_hidden_layers is 1000000; at most 158"),
    ({"vision_config": {"num_hidden_layers": 150}}, "missing or of another shape"),
    ({"vision_config": {"image_size": 999_999, "patch_size": 1}}, "missing or of another shape"),
    ({"vision_config": {"patch_size": 0}}, "cannot be read from"),
    ({"vision_config": {"num_attention_heads": 0}}, "cannot be read from"),
    ({"vision_config": {"hidden_size": -4}}, "cannot be read from"),
    ({"vision_config": {"hidden_size": "wide"}}, "cannot be read from"),
    ({"vision_config": {"hidden_size": 1e400}}, "hidden_size is inf"),
    ({"vision_config": {"hidden_act": "none such"}}, "cannot be read from"),
    ({"text_config": {"vocab_size": 900_000}}, "missing or of another shape"),
    ({"num_labels": 10**9}, "num_labels is 1000000000"),
]


@pytest.mark.parametrize(("changes", "message"), CONFIGS, ids=lambda x: str(x)[:60])
def test_a_configuration_is_right_or_refused(folder, changes, message):
    path = folder / "config.json"
    if isinstance(changes, str):
        path.write_text(changes)
    else:
        content = json.loads(path.read_text())
        for key, value in changes.items():
            inner = isinstance(value, dict) and isinstance(content.get(key), dict)
            content[key] = content[key] | value if inner else value
        path.write_text(json.dumps(content))
    assert message in refusal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"auto_map": {"AutoModel": "code.Model"}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
        {"_attn_implementation": "someone/kernels", "attn_implementation": "someone/kernels"},
    ],
    ids=str,
)
def test_settings_that_ask_for_other_code_are_not_heard(folder, changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    build_clip("clip_mini", folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 1000, b'{"model": {"type": "BPE"}}']
)
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_damaged_words_are_refused_or_not_needed(folder, name, content):
    (folder / name).write_bytes(content)
    if name == "tokenizer_config.json" and content in (b"{}", b'{"model": {"type": "BPE"}}'):
        return  # the defaults of the class replace it
    refusal(folder)


@pytest.mark.parametrize("length", [[77], {}, "long"])
def test_a_setting_of_the_words_that_only_shows_when_they_are_used(folder, length):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": length}))
    refusal(folder)


@pytest.mark.parametrize(
    "name",
    ["tokenizer.json", "merges.txt", "chat_template.jinja", "additional_chat_templates/a.jinja"],
)
def test_a_pipe_in_the_folder_is_never_opened(folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    assert "is a pipe or a device" in refusal(folder)


def test_what_no_tokenizer_reads_may_be_anything(folder):
    (folder / ".git").mkdir()
    os.mkfifo(folder / ".git" / "ipc")
    for name in ("merges.txt", "README.md", ".git/refs.json"):  # merges.txt is in tokenizer.json
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("nowhere")
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "folder.json").mkdir()
    found, shipped = build_clip("clip_mini", folder), build_clip("clip_mini")
    assert found.encode_text(["a dog"]).equal(shipped.encode_text(["a dog"]))


def test_words_of_a_size_that_none_have(folder):
    with (folder / "vocab.txt").open("wb") as file:
        file.truncate(2**28)
    assert "has 256.0 MiB; at most 128.0 MiB are read" in refusal(folder)


def test_a_captioner_is_read_alike(folder):
    assert "captioner blip" in str(pytest.raises(UserError, build_blip, folder).value)
