"""Proves that a mask recoded in each dialect gives the same levels; what is ambiguous is asked and not guessed."""

from pathlib import Path

import numpy as np
import pytest

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.dialects import NUMBERED, load_dialect
from vertecast.imaging.grid import Grid
from vertecast.imaging.labels import level_named, recoded
from vertecast.imaging.read import read_labels
from vertecast.imaging.volume import LabelMap
from vertecast.imaging.write import write_nifti, write_seg_nrrd

GRID = Grid.from_affine((8, 8, 240), np.diag([2.0, 2.0, 2.0, 1.0]))


def column(path: Path, numbers: list[int]) -> Path:
    """Write blocks of labels 30 mm apart, the first number on top."""
    array = np.zeros(GRID.shape, np.int16)
    for k, number in enumerate(numbers):
        top = GRID.shape[2] - 2 - 15 * k
        array[2:6, 2:6, top - 8 : top] = number
    return write_nifti(path, array, GRID)


def read(tmp_path: Path, numbers: list[int], dialect: str = "auto") -> tuple[str, list[str]]:
    """Write and read a column; return its dialect and the levels from above downward."""
    found = read_labels(column(tmp_path / "seg.nii.gz", numbers), dialect=dialect)
    order = sorted(found.levels, key=lambda one: -np.argwhere(found.mask(one))[:, 2].mean())
    return found.dialect, [str(level) for level in order]


def test_numberings_are_as_published() -> None:
    """Written out by hand from the publications, not read from the same file."""
    verse, total, tptbox = (load_dialect(name).values for name in ("verse", "totalseg", "tptbox"))
    for values in (verse, tptbox):
        assert [values[Level(f"C{i}")] for i in range(1, 8)] == list(range(1, 8))
        assert [values[Level(f"T{i}")] for i in range(1, 13)] == list(range(8, 20))
        assert [values[Level(f"L{i}")] for i in range(1, 7)] == list(range(20, 26))
        assert values[Level.T13] == 28
    assert tptbox[Level.S1] == 26
    assert (total[Level.S1], total[Level.L5], total[Level.L1], total[Level.T12]) == (26, 27, 31, 32)
    assert (total[Level.T1], total[Level.C7], total[Level.C1]) == (43, 44, 50)
    assert Level.L6 not in total
    assert Level.T13 not in total
    for name in NUMBERED:
        numbers = list(load_dialect(name).values.values())
        assert len(numbers) == len(set(numbers))


def test_a_real_mask_recoded_in_each_dialect_is_the_same(tmp_path: Path, data_dir: Path) -> None:
    first = read_labels(data_dir / "verse014" / "vert.nii.gz")
    for dialect in NUMBERED:
        other = recoded(first, dialect)
        again = read_labels(write_nifti(tmp_path / f"{dialect}.nii.gz", other), dialect=dialect)
        for level in first.levels:
            np.testing.assert_array_equal(again.mask(level), first.mask(level))
        auto = "verse" if dialect == "tptbox" else dialect
        if dialect != "totalseg_v1":  # asked for, never decided
            assert read_labels(tmp_path / f"{dialect}.nii.gz").dialect == auto
    named = read_labels(write_seg_nrrd(tmp_path / "a.seg.nrrd", first))
    assert named.dialect == "seg"
    for level in first.levels:
        np.testing.assert_array_equal(named.mask(level), first.mask(level))


@pytest.mark.parametrize(
    ("numbers", "dialect", "levels"),
    [
        ([19, 20, 21], "verse", ["T12", "L1", "L2"]),
        ([18, 19, 28, 20, 21], "verse", ["T11", "T12", "T13", "L1", "L2"]),
        ([23, 24, 25], "verse", ["L4", "L5", "L6"]),
        ([23, 24, 26], "verse", ["L4", "L5"]),
        ([27, 26], "totalseg", ["L5", "S1"]),
        ([32, 31, 30, 29], "totalseg", ["T12", "L1", "L2", "L3"]),
        ([28, 27, 26, 25], "totalseg", ["L4", "L5", "S1"]),
        ([29, 28, 27, 26], "totalseg", ["L3", "L4", "L5", "S1"]),
        ([23, 24, 26, 29, 30], "tptbox", ["L4", "L5", "S1"]),
        ([22], "verse", ["L3"]),
        ([31], "totalseg", ["L1"]),
    ],
)
def test_auto_decides_by_integers_and_order(
    tmp_path: Path, numbers: list[int], dialect: str, levels: list[str]
) -> None:
    assert read(tmp_path, numbers) == (dialect, levels)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([28], r"label values 28 are ambiguous \(verse: T13; totalseg: L4\); say which with --dialect verse"),
        ([28, 27], r"label values 27, 28 are ambiguous \(verse: T13; totalseg: L4 to L5\)"),
        ([24, 26], r"label values 24, 26 are ambiguous \(verse: L5; totalseg: S1\)"),
        ([20, 19, 18], r"label values 18, 19, 20 are ambiguous \(totalseg_v1: L3 to L5\)"),
        ([22, 21], r"fit no numbering in craniocaudal order \(read as verse, L2 \(21\) does not lie above L3 \(22\)"),
        ([27, 28, 29, 30], r"fit no numbering in craniocaudal order \(read as .*; check the orientation in the header"),
        ([23, 24, 28], r"label values 23, 24, 28 are ambiguous \(totalseg: L4; verse: T13 to L5\)"),
    ],
)
def test_what_is_ambiguous_is_asked(tmp_path: Path, numbers: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, numbers)


def test_version_one_of_totalsegmentator_is_not_taken_for_version_two(tmp_path: Path) -> None:
    """T11 to L5 in version 1 (24 ... 18) lie like a spine, whatever organs version 2 calls by these numbers."""
    named = read(tmp_path, [24, 23, 22, 21, 20, 19, 18], "totalseg_v1")
    assert named == ("totalseg_v1", ["T11", "T12", "L1", "L2", "L3", "L4", "L5"])
    with pytest.raises(InputError, match=r"ambiguous \(totalseg: .*; totalseg_v1: T9 to L5\)"):
        read(tmp_path, [26, 25, 24, 23, 22, 21, 20, 19, 18])


def test_a_named_dialect_is_believed_and_order_is_warned_about(tmp_path: Path) -> None:
    assert read(tmp_path, [28], "verse") == ("verse", ["T13"])
    assert read(tmp_path, [28], "totalseg") == ("totalseg", ["L4"])
    found = read_labels(column(tmp_path / "seg.nii.gz", [23, 24, 28]), dialect="verse")
    assert "T13 (28) does not lie above L4 (23)" in found.warnings[0]


def test_organs_are_background(tmp_path: Path) -> None:
    found = read_labels(column(tmp_path / "seg.nii.gz", [51, 32, 31, 30, 5]))
    assert set(np.unique(found.labels)) == {0, 30, 31, 32}


def test_a_level_without_a_number_is_refused(labels: LabelMap) -> None:
    array = np.where(labels.labels == 22, 25, 0).astype(np.int16)
    sixth = LabelMap(array, labels.grid, {Level.L6: 25}, "verse")
    with pytest.raises(InputError, match="TotalSegmentator 2 has no number for L6; use verse or tptbox"):
        recoded(sixth, "totalseg")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("vertebrae_L1", Level.L1),
        ("L1 vertebra", Level.L1),
        ("T13", Level.T13),
        ("t12", Level.T12),
        ("rib_left_1", None),
    ],
)
def test_names_of_segments(text: str, level: Level | None) -> None:
    assert level_named(text) is level


def test_these_checks_can_fail(tmp_path: Path) -> None:
    """A reader that looked at integers alone would call both columns by one dialect."""
    down, up = read(tmp_path, [28, 20, 21]), read(tmp_path, [30, 29, 28])
    assert down[0] != up[0]
