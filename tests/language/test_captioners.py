"""Captions from a list of phrases, and from a BLIP with a few thousand parameters."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

from boxrefine_d2.data import load_spec, read_image
from boxrefine_d2.errors import UserError
from boxrefine_d2.language import captioners
from boxrefine_d2.language.blip import MAX_LENGTH, MIN_LENGTH, PROMPT, build_blip
from boxrefine_d2.language.build import build_clip
from boxrefine_d2.language.captioners import (
    SHIPPED_PHRASES,
    PhraseRetrieval,
    build_captioner,
    read_phrases,
)

PHRASES = ["a dog", "a cat", "a red bird"]


def crops(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes
    ]


def test_the_phrase_that_clip_finds_most_alike(clip, monkeypatch):
    monkeypatch.setattr(captioners, "CROPS_AT_ONCE", 2)
    given = crops((20, 30), (32, 32), (9, 50), (64, 8), (40, 40))
    found = PhraseRetrieval(clip, PHRASES, "image of ").captions(given)
    text = clip.encode_text([f"image of {phrase}" for phrase in PHRASES])
    for crop, phrase in zip(given, found, strict=True):
        likeness = clip.encode_images(crop[None].float() / 127.5 - 1) @ text.T
        assert phrase == PHRASES[int(likeness.argmax())]
    assert PhraseRetrieval(clip, PHRASES, "").captions([]) == []


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_products_are_of_the_precision_asked_for(clip, blip_folder, precision, dtype):
    before = clip.encode_images(torch.zeros(1, 3, clip.side, clip.side))
    for name, weights in (("phrases", None), ("blip", blip_folder)):
        captioner = build_captioner(name, clip, weights, "", precision)
        captioner.captions(crops((8, 8)))  # this reads the list
        with RecordsProducts() as seen:
            assert len(captioner.captions(crops((8, 8)))) == 1
        assert dtype in seen.dtypes
        if precision == "bf16":
            # The last product gives the phrases' similarity to a crop; only this one is exact.
            assert seen.dtypes.count(torch.float32) == (name == "phrases")
    # the shared CLIP does not change
    assert torch.equal(clip.encode_images(torch.zeros(1, 3, clip.side, clip.side)), before)


class RecordsProducts(TorchDispatchMode):
    """Mode that records the number formats of all matrix products."""

    def __init__(self):
        super().__init__()
        self.dtypes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            self.dtypes.append(args[-1].dtype)
        return func(*args, **(kwargs or {}))


def test_an_unknown_precision_is_a_users_mistake(clip):
    with pytest.raises(UserError, match="precision 'fp8' is unknown; known: fp32, bf16"):
        build_captioner("phrases", clip, None, "", "fp8")


def test_bf16_says_the_same_of_what_fits_clearly():
    clip = build_clip("clip_mini", "")
    phrases = read_phrases(SHIPPED_PHRASES)
    records = load_spec("scenes:val+first=8").records
    given = [torch.from_numpy(read_image(x["file_name"])).permute(2, 0, 1) for x in records]
    squares = [clip.resized(crop[None].float() / 127.5 - 1) for crop in given]
    likeness = clip.encode_images(torch.cat(squares)) @ clip.encode_text(phrases).T
    best, second = likeness.topk(2, dim=1).values.T
    clear = (best - second > 0.02).tolist()  # far above the rounding of bf16
    assert any(clear)
    fp32 = PhraseRetrieval(clip, phrases, "").captions(given)
    bf16 = PhraseRetrieval(clip, phrases, "", torch.bfloat16).captions(given)
    assert [c for c in zip(clear, fp32, bf16, strict=True) if c[0] and c[1] != c[2]] == []


def test_a_list_is_read_line_by_line(tmp_path, clip):
    file = tmp_path / "phrases.txt"
    file.write_text("# animals\na dog\n\n  a cat \na dog\n", encoding="utf-8")
    assert read_phrases(file) == ["a dog", "a cat"]
    assert set(build_captioner("phrases", clip, file, "").captions(crops((8, 8)))) <= {
        "a dog",
        "a cat",
    }
    file.write_text("# nothing\n")
    with pytest.raises(UserError, match="has no phrase"):
        read_phrases(file)
    with pytest.raises(UserError, match="none.txt' does not exist"):
        read_phrases(tmp_path / "none.txt")


def test_the_shipped_list_has_every_phrase_of_the_scenes():
    phrases = set(read_phrases(SHIPPED_PHRASES))
    for spec in ("scenes:train+first=300", "scenes:val"):
        said = {a["phrase"] for record in load_spec(spec).records for a in record["annotations"]}
        assert said <= phrases


def test_an_unknown_captioner_is_a_users_mistake(clip):
    with pytest.raises(UserError, match="captioner 'git' is unknown; known: phrases, blip"):
        build_captioner("git", clip, None, "")


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory):
    """Return a folder as transformers writes it, with two layers per tower and its own words."""
    folder = tmp_path_factory.mktemp("blip")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[DEC]",
        *["a", "picture", "of", "the", "dog", "cat", "bird", "red", "on", "grass"],
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
    }
    text = {
        "vocab_size": len(words),
        "bos_token_id": 5,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }
    config = BlipConfig(
        vision_config={**tower, "image_size": 32, "patch_size": 8, "initializer_range": 0.02},
        text_config={**tower, **text, "encoder_hidden_size": 16},
    )
    torch.manual_seed(0)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_blip_says_something_short_without_its_prompt(blip_folder, clip):
    blip = build_captioner("blip", clip, blip_folder, "")
    found = blip.captions(crops((20, 30), (50, 40)))
    assert len(found) == 2 and blip.captions([]) == []
    for caption in found:
        assert not caption.startswith(PROMPT)
        # the length includes the prompt's words and the two marks
        prompt = len(PROMPT.split()) + 1
        assert MIN_LENGTH - prompt - 1 <= len(caption.split()) <= MAX_LENGTH - prompt


def test_a_caption_does_not_depend_on_its_company(blip_folder):
    blip = build_blip(blip_folder)
    given = crops((20, 30), (50, 40), (32, 32))
    assert blip.captions(given) == [blip.captions([crop])[0] for crop in given]
    assert len(blip.to(torch.device("cpu"), torch.bfloat16).captions(given)) == 3


def test_what_is_no_blip_is_named(tmp_path, blip_folder, monkeypatch):
    with pytest.raises(UserError, match="no folder"):
        build_blip(tmp_path / "none")
    with pytest.raises(UserError, match="the captioner blip cannot be read from"):
        build_blip(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="the captioner blip cannot be read from Salesforce"):
        build_blip()
