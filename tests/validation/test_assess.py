"""Proves: fracture, cement and posture change a real body and its neighbours as published, or the miss is recorded.

verse014 L3 at 2 mm, calibrated by its own tissues, with L2 and L4 for the segment; the fracture is the height that
Wegrzyn's L3 had lost after rest (25 % imposed, 31 % of it back). Values, bands and misses: docs/validation/assess.md.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vertecast.assess.arms import bone_arm, cemented_arm, fractured_arm, intact_density, unbroken_body
from vertecast.assess.compression import load_arm, specimen_of
from vertecast.assess.level import load_laboratory
from vertecast.assess.loads import Task, compression, load_trunk
from vertecast.assess.segment import felt, make_segment, with_arm
from vertecast.assess.treated import Treated, largest_piece
from vertecast.core.levels import Level
from vertecast.imaging.internal_calibration import internal_calibration
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.resample import aligned_grid, resampled, resampled_mask
from vertecast.imaging.tissues import found_tissues
from vertecast.imaging.volume import LabelMap
from vertecast.spine.measure import measure_spine

LEVEL, PORES, VOXEL = Level.L3, 0.85, 2.0
LAB = load_laboratory()
BENCH = replace(LAB.bench, calibrated=True)
LOSS = 0.25 * (1 - 0.31)  # of the height before
WEGRZYN = {"stiffness": (0.47, 0.18), "strength": (0.89, 0.19)}


class Case:
    """One body of a real CT that can be fractured and filled."""

    def __init__(self, data: Path) -> None:
        volume = read_volume(data / "verse014" / "ct.nii.gz")
        labels = matched_labels(read_labels(data / "verse014" / "vert.nii.gz", dialect="verse"), volume, name="vert")
        near = {one: labels.values[one] for one in (Level.L2, Level.L3, Level.L4)}
        spine = measure_spine(LabelMap(labels.labels, labels.grid, near, labels.dialect))
        self.bones = {one: spine[one].anatomy for one in near}
        self.images = (volume, internal_calibration(found_tissues(volume, labels)))
        intact = self.treated()
        arm = bone_arm(intact.body, intact.density, LAB.materials)
        height = specimen_of(arm, intact.grid, LAB.materials, BENCH).height
        self.lost = (height * LOSS / (1 - LOSS),) * 3

    def treated(self, fill: float = 0.0, *, fractured: bool = False, voxel: float = VOXEL) -> Treated:
        """Return the level with cement in the share ``fill`` of the body, from its middle outwards."""
        bone = self.bones[LEVEL]
        places = bone.coordinates()[bone.body]
        room = np.array([4.0, 4.0, 16.0])
        grid = aligned_grid(bone.vert_from_lps, np.stack([places.min(0) - room, places.max(0) + room], axis=1), voxel)
        body = largest_piece(resampled_mask(bone.body, bone.grid, grid))
        cells = np.argwhere(body)
        away = (np.moveaxis(np.indices(grid.shape), 0, -1) - cells.mean(axis=0)) / (np.ptp(cells, axis=0) / 2)
        order = np.argsort(np.where(body, np.sqrt((away**2).sum(-1)), np.inf).ravel(), kind="stable")
        cement = np.zeros(body.size)
        cement[order[: round(fill / PORES * len(cells))]] = PORES
        density = np.asarray(self.images[1].density(resampled(self.images[0], grid).hu), float)
        return Treated(
            level=LEVEL, grid=grid, body=body, body_after=body, density=density, density_after=density,
            cement=cement.reshape(body.shape), pores=np.full(body.shape, PORES), cavity=np.zeros(body.shape),
            came_from=None, went_to=None, lost=self.lost if fractured else None, fractured=fractured, calibrated=True,
        )  # fmt: skip

    def pressed(self, fill: float | None, law=LAB.materials.cement):
        """Test the body before the break (``fill`` None), fractured (0), or fractured and filled."""
        treated = self.treated(fill or 0.0, fractured=True)
        own = [self.bones[LEVEL]]
        if fill is None:
            body = unbroken_body(treated)
            density = intact_density(treated, body, own, self.images)
            return load_arm(bone_arm(body, density, LAB.materials), treated.grid, LAB.materials, BENCH)
        density = intact_density(treated, treated.body, own, self.images)
        arm = cemented_arm(treated, fractured_arm(treated, density, LAB.materials), LAB.materials, law)
        return load_arm(arm, treated.grid, LAB.materials, BENCH)


@pytest.fixture(scope="module")
def case(data_dir: Path) -> Case:
    return Case(data_dir)


@pytest.fixture(scope="module")
def series(case: Case):
    return {fill: case.pressed(fill) for fill in (None, 0.0, 0.16, 0.20)}


def ratio(series, fill):
    before, now = series[None], series[fill]
    strength = [now.strength[name].value / one.value for name, one in before.strength.items()]
    return now.stiffness / before.stiffness, strength


def test_a_fracture_takes_strength_as_published_and_less_stiffness(series):
    """Wegrzyn 2011: stiffness 0.47 +- 0.18, strength 0.89 +- 0.19 of before. Stiffness is missed: 0.74."""
    stiffness, strength = ratio(series, 0.0)
    mean, sd = WEGRZYN["strength"]
    assert all(abs(one - mean) <= sd for one in strength)
    assert stiffness == pytest.approx(0.74, abs=0.05)
    assert stiffness > sum(WEGRZYN["stiffness"])  # the miss that the page records


def test_cement_makes_it_stronger_than_before_and_a_fifth_of_the_body_as_stiff(series):
    """Belkoff 2001: both procedures end stronger than intact. Molloy 2003: stiffness back at a fill of 30 %."""
    assert all(min(ratio(series, fill)[1]) > 1.0 for fill in (0.16, 0.20))
    assert ratio(series, 0.16)[0] < 1.0 <= ratio(series, 0.20)[0] + 0.02


def test_null_model_cement_no_stiffer_than_bone_restores_nothing(case, series):
    soft = replace(LAB.materials.cement, cement_modulus=1e-9, cement_yield=1e-9)
    found = case.pressed(0.20, soft)
    assert found.stiffness == pytest.approx(series[0.0].stiffness, rel=1e-3)
    assert ratio(series, 0.20)[0] > 1.2 * found.stiffness / series[None].stiffness


def test_cement_raises_disc_pressure_a_little_and_posture_far_more(case):
    """Rohlmann 2006: cement alone +2.4 %, posture at least three times that. Baroud's 19 % is missed."""
    around = {"above": case.bones[Level.L2], "below": case.bones[Level.L4]}
    plain = case.treated()
    segment = make_segment(plain, around, case.images, LAB.segment)
    bone = bone_arm(plain.body, plain.density, LAB.materials)
    filled = case.treated(0.20)
    before, after = (
        felt(segment, with_arm(segment, arm, plain, LAB.materials), LAB.settings)
        for arm in (bone, cemented_arm(filled, bone, LAB.materials))
    )
    rise = [100 * (after[side].pressure / before[side].pressure - 1) for side in ("above", "below")]
    assert all(0.5 < one < 5.0 for one in rise)
    trunk = load_trunk().values
    loads = [
        compression(Task(activity="standing", level=LEVEL, tilt=np.radians(tilt)), 70.0, 1700.0, trunk)
        for tilt in (0.0, 10.0)
    ]
    assert 100 * (loads[1] / loads[0] - 1) > 3 * max(rise)
