"""Outputs are checked before the work."""

import os

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.outputs import check_output_file, check_output_folder


def test_a_new_file_in_a_new_folder_is_accepted_and_nothing_is_left(tmp_path):
    check_output_file(tmp_path / "a" / "b" / "o.json")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is a folder"):
        check_output_file(tmp_path)
    with pytest.raises(UserError, match="is a pipe or a device"):
        check_output_file(tmp_path / "pipe")


@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard", "soft"])
def test_an_input_is_refused_under_any_name(tmp_path, link):
    (tmp_path / "in.json").write_text("{}")
    link(tmp_path / "in.json", tmp_path / "out.json")
    with pytest.raises(UserError, match="is an input of this command"):
        check_output_file(tmp_path / "out.json", inputs=[tmp_path / "in.json"])


def test_an_input_that_does_not_exist_yet_is_refused_as_well(tmp_path):
    with pytest.raises(UserError, match="is an input of this command"):
        check_output_file(tmp_path / "a.json", inputs=[f"{tmp_path}/x/../a.json"])


def test_other_suffixes_are_refused(tmp_path):
    check_output_file(tmp_path / "a.PNG", suffixes=(".png", ".jpg"))
    with pytest.raises(UserError, match=r"must end in \.png or \.jpg"):
        check_output_file(tmp_path / "a.gif", suffixes=(".png", ".jpg"))


def test_a_name_that_leaves_no_room_for_a_journal_is_refused(tmp_path):
    check_output_file(tmp_path / ("x" * 223))
    with pytest.raises(UserError, match="its name has 224 bytes"):
        check_output_file(tmp_path / ("x" * 224))


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write --output"):
        check_output_file(tmp_path / "file" / "o.json")
    with pytest.raises(UserError, match="is a file; a folder is needed"):
        check_output_folder(tmp_path / "file")


def test_names_too_long_for_any_file_system_are_refused(tmp_path):
    with pytest.raises(UserError, match="its name has 300 bytes"):
        check_output_file(tmp_path / ("x" * 300))
    for path in (tmp_path / ("x" * 300) / "o.json", tmp_path / "o.json" / ("x" * 300)):
        with pytest.raises(UserError, match="cannot write --output|its name has"):
            check_output_file(path)
        with pytest.raises(UserError, match="cannot write --output"):
            check_output_folder(path)


def test_two_outputs_must_be_two_files(tmp_path):
    (tmp_path / "here").symlink_to(tmp_path)
    check_output_file(tmp_path / "a.json", others=[tmp_path / "b.json"], flag="--json")
    with pytest.raises(UserError, match="--json .* is another output of this command, too"):
        check_output_file(tmp_path / "a", others=[tmp_path / "here" / "a"], flag="--json")
