"""Score maps: reading, the frame, and the range."""

import zipfile

import numpy as np
import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.score_maps import normalised, read_score_map


def test_a_map_is_read_as_it_was_written(tmp_path):
    scores = np.array([[0.5, 1.0, -2.0]], dtype=np.float16)
    np.savez_compressed(tmp_path / "a.npz", map=scores)
    assert np.array_equal(read_score_map(tmp_path / "a.npz"), scores)


def damaged(path):
    path.write_bytes(path.read_bytes()[:-30])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[70] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("arrays", "change", "message"),
    [
        (None, None, "does not exist"),
        ({"heat": np.zeros((2, 2))}, None, "no array named 'map'"),
        ({"map": np.zeros(4)}, None, r"of the shape \(4,\)"),
        ({"map": np.zeros((0, 3))}, None, r"of the shape \(0, 3\)"),
        ({"map": np.array([["a"]])}, None, "real numbers"),
        ({"map": np.array([[None]])}, None, "no readable .npz"),
        ({"map": np.zeros((9, 9))}, damaged, "no readable .npz"),
        ({"map": np.zeros((9, 9))}, flipped, "no readable .npz"),
    ],
)
def test_a_file_that_holds_no_map(tmp_path, arrays, change, message):
    path = tmp_path / "a.npz"
    if arrays is not None:
        np.savez_compressed(path, **arrays)
    if change:
        change(path)
    with pytest.raises(UserError, match=message) as error:
        read_score_map(path)
    assert "\n" not in str(error.value)


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("boxrefine_d2.evaluation.score_maps.MAX_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", map=np.zeros((100, 100)))
    with pytest.raises(UserError, match="at most 1000 bytes"):
        read_score_map(tmp_path / "a.npz")


def test_a_header_that_lies_about_the_shape(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("map.npy", "w") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (3000, 3000)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(UserError, match="0 bytes in place of 72000000"):
        read_score_map(tmp_path / "a.npz")


def test_a_file_of_another_kind(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("map.npy", b"no array")
    with pytest.raises(UserError, match="no readable .npz"):
        read_score_map(tmp_path / "a.npz")


def test_minmax_reaches_0_and_1():
    scores = normalised(np.array([[-1.0, 1.0], [3.0, 2.0]]), (2, 2), "minmax", "a")
    assert scores.tolist() == [[0, 0.5], [1, 0.75]]


def test_max_raises_negative_scores_to_0():
    scores = normalised(np.array([[-1.0, 1.0], [4.0, 2.0]]), (2, 2), "max", "a")
    assert scores.tolist() == [[0, 0.25], [1, 0.5]]


def test_none_keeps_the_level_of_a_map_even_of_a_constant_one():
    assert (normalised(np.full((3, 3), 0.3), (2, 2), "none", "a") == 0.3).all()
    with pytest.raises(UserError, match=r"b has values from 0 to 3"):
        normalised(np.array([[0.0, 3.0]]), (2, 2), "none", "b")


@pytest.mark.parametrize("how", ["minmax", "max", "none"])
def test_a_map_that_is_not_finite_becomes_0(how):
    assert (normalised(np.array([[0.1, np.nan]]), (3, 4), how, "a") == np.zeros((3, 4))).all()


@pytest.mark.parametrize("how", ["minmax", "max"])
def test_a_constant_map_becomes_0(how):
    assert (normalised(np.full((2, 2), 0.7), (3, 4), how, "a") == 0).all()


def cubic(distance):
    """Return the kernel of Keys (1981) with a = -0.75, as OpenCV uses it."""
    a, x = -0.75, abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_the_resize_is_bicubic():
    row = np.array([0.1, 0.9, 0.4, 0.7])
    wanted = []
    for place in range(10):
        centre = (place + 0.5) * 4 / 10 - 0.5
        near = range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3)
        wanted.append(sum(cubic(centre - k) * row[min(max(k, 0), 3)] for k in near))
    wanted = (np.array(wanted) - min(wanted)) / np.ptp(wanted)
    scores = normalised(np.tile(row, (3, 1)), (3, 10), "minmax", "a")
    assert scores == pytest.approx(np.tile(wanted, (3, 1)), abs=1e-12)
