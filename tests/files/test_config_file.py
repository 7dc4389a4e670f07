"""Configuration files with their bases."""

from pathlib import Path

import pytest
from detectron2.config import get_cfg

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.config_file import config_files, read_config
from boxrefine_d2.files.shipped import shipped_configs


@pytest.fixture
def write(tmp_path):
    def write(**contents: str) -> Path:
        for name, content in contents.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        return tmp_path / f"{next(iter(contents))}.yaml"

    return write


def test_every_shipped_file_reads_as_by_detectron2():
    for path in shipped_configs().rglob("*.yaml"):
        if path.parent.name != "pipelines":
            assert read_config(path) == get_cfg().load_yaml_with_base(str(path)), path


def test_a_file_overrides_its_bases_and_a_base_those_named_earlier(write):
    path = write(
        child="_BASE_: [first.yaml, second.yaml]\nA: {x: 1}",
        first="A: {x: 2, y: 2, z: 2}\nB: 2",
        second="A: {y: 3}\nC: 3",
    )
    assert read_config(path) == {"A": {"x": 1, "y": 3, "z": 2}, "B": 2, "C": 3}
    assert [file.stem for file in config_files(path)] == ["child", "first", "second"]


def test_bases_of_bases_are_relative_to_the_file_that_names_them(tmp_path, write, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.yaml").write_text("_BASE_: ../two.yaml\nA: 1")
    path = write(child="_BASE_: deep/one.yaml", two="A: 2\nB: 2")
    monkeypatch.chdir("/")
    assert read_config(path) == {"A": 1, "B": 2}
    monkeypatch.setenv("HOME", str(tmp_path))
    for base in ("~/two.yaml", f"{tmp_path}/two.yaml", f"[{tmp_path}/two.yaml]"):
        assert read_config(write(child=f"_BASE_: {base}")) == {"A": 2, "B": 2}


def test_one_base_twice_is_no_cycle(write):
    path = write(a="_BASE_: [b.yaml, c.yaml]", b="_BASE_: d.yaml", c="_BASE_: d.yaml", d="X: 1")
    assert read_config(path) == {"X": 1}
    assert [file.stem for file in config_files(path)] == ["a", "b", "d", "c"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("_BASE_: none.yaml", ["child", "base", "none"]),
        ("[", ["child", "base"]),
        ("_BASE_: [next.yaml, none.yaml]", ["child", "base", "next", "none"]),
        ("_BASE_: child.yaml", ["child", "base"]),
    ],
)
def test_the_list_of_files_ends_at_the_faulty_file(write, base, expected):
    path = write(child="_BASE_: [base.yaml, next.yaml]", base=base, next="X: 1")
    assert [file.stem for file in config_files(path)] == expected
    with pytest.raises(UserError):
        read_config(path)


def test_a_change_of_one_alias_leaves_the_other(write):
    path = write(child="_BASE_: base.yaml\nA: {x: 2}", base="A: &a {x: 1}\nB: *a")
    assert read_config(path) == {"A": {"x": 2}, "B": {"x": 1}}


def test_a_value_may_replace_a_section_but_no_section_a_value(write):
    assert read_config(write(child="_BASE_: base.yaml\nA: 1", base="A: {x: 1}")) == {"A": 1}
    with pytest.raises(UserError, match=r"child\.yaml': A is a section here and a value in a base"):
        read_config(write(child="_BASE_: base.yaml\nA: {x: 1}", base="A: 1"))


def test_a_byte_order_mark_and_tuples_of_yaml_dump_are_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffA: !!python/tuple [1, 2]\r\nB: é".encode())
    assert read_config(path) == {"A": (1, 2), "B": "é"}


@pytest.mark.parametrize("bases", ["a.yaml", "./b.yaml", "[c.yaml, b.yaml]"])
def test_a_base_that_leads_back_is_refused_in_one_line(write, bases):
    path = write(a=f"_BASE_: {bases}", b="_BASE_: a.yaml", c="X: 1")
    with pytest.raises(UserError, match=r"its _BASE_ '.*' is based on this file"):
        read_config(path)


def test_files_with_too_many_bases_are_refused_in_one_line(write):
    names = "abcdefghij"
    contents = {x: f"_BASE_: [{y}.yaml, {y}.yaml]" for x, y in zip(names, names[1:])}
    with pytest.raises(UserError, match=r"a\.yaml': it has more than 50 bases"):
        read_config(write(**contents, j="X: 1"))
