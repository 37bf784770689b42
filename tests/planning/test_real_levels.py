"""Proves on a real CT's labels: mirrored anatomy gives mirrored plans, a patient turned by the affine turned ones.

Everything is measured again from the moved label map, and every needle of every plan follows to 1e-3 mm.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.read import read_labels
from vertecast.imaging.volume import LabelMap
from vertecast.planning.site import make_site
from vertecast.planning.trajectory import Approach, NeedlePath, Target, Tool
from vertecast.planning.trajectory_plan import LevelAim, plan_level
from vertecast.planning.trajectory_rules import trajectory_rules
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.canal import Canal
from vertecast.spine.measure import measure_spine
from vertecast.spine.pedicles import Pedicle

pytestmark = pytest.mark.data

RULES = replace(trajectory_rules().values, view_limit=90.0)  # the C-arm's limits belong to the room, not the patient
G11 = Tool("11G", 3.05 / 2, 150.0)
TURN = Rotation.from_euler("xyz", [7.0, -6.0, 9.0], degrees=True).as_matrix()
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
POSE = np.eye(4)
POSE[:3, :3], POSE[:3, 3] = TURN, [21.0, -13.0, 5.0]
Way = tuple[Side, Approach, Target]
Measured = tuple[Anatomy, Mapping[Side, Pedicle], Canal]


@cache
def one_level(folder: Path) -> tuple[NDArray[np.int16], Grid, int]:
    """Return L3 of the main real case alone, cropped, with its number."""
    whole = read_labels(folder / "verse014" / "vert.nii.gz")
    number = whole.values[Level.L3]
    only = np.where(whole.labels == number, whole.labels, 0).astype(np.int16)
    found = np.argwhere(only)
    low = np.maximum(found.min(axis=0) - 4, 0)
    box = tuple(slice(a, b + 5) for a, b in zip(low, found.max(axis=0), strict=True))
    matrix = whole.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = whole.grid.to_lps(low[None])[0]
    return only[box], Grid.from_affine(only[box].shape, matrix), number


def across(grid: Grid) -> int:
    """The voxel axis that runs from side to side."""
    return int(np.argmax(np.abs(grid.lps_from_voxel.matrix[0, :3])))


def moved_grid(grid: Grid, world: NDArray[np.float64]) -> Grid:
    """Move a grid; a mirrored one is turned around again, so that it is an ordinary image once its array is flipped."""
    matrix = world @ grid.lps_from_voxel.matrix
    if np.linalg.det(world) < 0:
        axis = across(grid)
        matrix[:3, 3] += (grid.shape[axis] - 1) * matrix[:3, axis]
        matrix[:3, axis] *= -1.0
    return Grid.from_affine(grid.shape, matrix)


def moved_array(array: NDArray, grid: Grid, world: NDArray[np.float64]) -> NDArray:
    return np.flip(array, across(grid)) if np.linalg.det(world) < 0 else array


def measure(labels: NDArray[np.int16], grid: Grid, number: int) -> Measured:
    vertebra = measure_spine(LabelMap(labels, grid, {Level.L3: number}, "verse"))[Level.L3]
    details = vertebra.details
    assert vertebra.anatomy is not None
    assert details.pedicles is not None
    assert details.canal is not None
    return vertebra.anatomy, details.pedicles, details.canal


@cache
def measured(folder: Path) -> Measured:
    return measure(*one_level(folder))


def planned(found: Measured) -> dict[Way, NeedlePath]:
    """Plan what was measured; the needles by side, approach and target."""
    plan = plan_level(make_site(*found, RULES), LevelAim(tool=G11), RULES)
    return {(n.side, n.approach, n.target): n for p in plan.plans for n in p.needles}


@cache
def plan_as_it_is(folder: Path) -> dict[Way, NeedlePath]:
    return planned(measured(folder))


def farthest(first: dict[Way, NeedlePath], second: dict[Way, NeedlePath], world: NDArray[np.float64]) -> float:
    """Largest distance, mm, of entries and tips from where they belong."""
    mirrored = np.linalg.det(world) < 0
    assert {(side.other if mirrored else side, a, t) for side, a, t in second} == set(first)
    away = []
    for (side, approach, target), needle in first.items():
        other = second[side.other if mirrored else side, approach, target]
        for one, two in ((needle.tip_lps, other.tip_lps), (needle.entry_lps, other.entry_lps)):
            away.append(float(np.linalg.norm(world[:3, :3] @ one + world[:3, 3] - two)))
    return max(away)


@pytest.mark.parametrize("world", [MIRROR, POSE], ids=["mirrored", "turned"])
def test_the_plan_follows_the_patient(data_dir: Path, world: NDArray[np.float64]) -> None:
    labels, grid, number = one_level(data_dir)
    again = planned(measure(moved_array(labels, grid, world), moved_grid(grid, world), number))
    assert len(again) >= 2
    assert farthest(plan_as_it_is(data_dir), again, world) < 1e-3


def test_these_checks_can_fail(data_dir: Path) -> None:
    """The two sides of this patient differ, so a plan that was not mirrored would not pass for one that is."""
    first = plan_as_it_is(data_dir)
    swapped = {(side.other, a, t): n for (side, a, t), n in first.items()}
    assert farthest(first, swapped, MIRROR) > 1.0
