"""YAML from outside is read as data only."""

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safe_yaml import parse_yaml, read_yaml


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "a: !!python/object/new:subprocess.Popen [[touch, '{mark}']]",
        "a: {{b: [!!python/name:os.system '']}}",
        "!custom x",
    ],
    ids=["apply", "new", "below", "unknown"],
)
def test_a_tag_runs_nothing_and_is_named(tmp_path, text):
    mark = tmp_path / "ran"
    path = tmp_path / "a.yaml"
    path.write_text(text.format(mark=mark))
    with pytest.raises(UserError, match="python/|custom"):
        read_yaml(path, "configuration")
    assert not mark.exists()


@pytest.mark.parametrize("text", ["a: [1", "\t- a", "a: b: c", "{" * 5_000, "2001-99-99"])
def test_text_that_is_no_yaml_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="is no YAML"):
        parse_yaml(text, "configuration 'x'")
