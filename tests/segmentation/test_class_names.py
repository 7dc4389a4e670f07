import pytest
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.build import build_clip
from boxrefine_d2.segmentation.class_names import SEVERAL, class_names, class_vectors


@pytest.fixture(scope="module")
def clip():
    return build_clip("clip_mini", "random:0")


def test_names_come_from_a_list_or_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cat\n\n traffic light \n")
    assert class_names(str(path)) == class_names("cat,, traffic light") == ("cat", "traffic light")


@pytest.mark.parametrize(
    ("text", "line"),
    [(" , ", "has no name; give names with commas"), ("cat,dog,Cat", "has 'cat' twice")],
)
def test_a_list_that_is_none_is_a_line(text, line):
    with pytest.raises(UserError, match=line):
        class_names(text)


def test_a_vector_is_the_mean_over_templates(clip):
    vectors = class_vectors(clip, ["cat", "dog"], SEVERAL)
    texts = clip.encode_text([template.format("dog") for template in SEVERAL])
    expected = texts.mean(dim=0) / texts.mean(dim=0).norm()
    torch.testing.assert_close(vectors[1], expected)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_a_name_that_is_too_long_is_a_line(clip):
    with pytest.raises(UserError, match="at most 77 are allowed"):
        class_vectors(clip, ["cat", "x" * 100])
