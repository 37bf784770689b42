"""Canal: a known ring is measured in any pose; the mask is the lumen; an open ring says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.spine.real_anatomy import real_anatomies
from tests.spine.tube_vertebra import ORDERS, Scan, Tube, TubeVertebra, scanned

from vertecast.spine.canal import measure_canal

SHAPE = TubeVertebra(left=Tube(x=15.5), right=Tube(x=15.5))


def true_lumen(shape: TubeVertebra, z: float) -> tuple[float, float, float]:
    """Area, depth in the middle and width of the hole at one height, on a lattice of 0.1 mm."""
    x, y = np.arange(-20.0, 20.05, 0.1), np.arange(5.0, 40.0, 0.1)
    points = np.stack(np.meshgrid(x, y, [z], indexing="ij"), axis=-1)
    bone = (shape.in_body(points) | ((shape.in_tubes(points) | shape.in_ring(points)) & ~shape.in_canal(points)))[
        ..., 0
    ]
    labels, _ = ndimage.label(~bone)
    hole = labels == labels[200, np.searchsorted(y, shape.canal_middle)]
    middle = np.median(hole[180:221].sum(axis=1)) * 0.1
    return hole.sum() * 0.01, float(middle), hole.any(axis=1).sum() * 0.1


@pytest.mark.parametrize(
    ("spacing", "diameter_mm"),
    [
        ((0.7, 0.7, 0.7), 0.6),
        ((1.0, 1.0, 1.0), 0.9),
        ((1.0, 1.0, 2.0), 1.1),
        ((3.0, 0.5, 0.5), 2.0),
        ((2.0, 2.0, 2.0), 2.0),
    ],
)
def test_known_rings_in_random_poses(spacing: tuple[float, float, float], diameter_mm: float) -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(5):
        shape = replace(SHAPE, canal_half_width=rng.uniform(9.0, 11.0), canal_half_depth=rng.uniform(7.0, 9.0))
        anatomy = scanned(shape, Scan(spacing, tuple(rng.normal(size=3) * 0.15), tuple(rng.uniform(-0.5, 0.5, 3))))
        canal = measure_canal(anatomy)
        assert canal.reason is None, canal.reason
        area, depth, width = true_lumen(shape, anatomy.vert_from_lps.apply(canal.centre_lps)[2])
        assert canal.ap_mm.value == pytest.approx(depth, abs=diameter_mm)
        assert canal.transverse_mm.value == pytest.approx(width, abs=diameter_mm)
        assert canal.area_mm2.value == pytest.approx(area, rel=0.08)
        pairs = ((canal.ap_mm, depth), (canal.transverse_mm, width), (canal.area_mm2, area))
        held += [one.low <= truth <= one.high for one, truth in pairs]
    assert np.mean(held) >= 0.9


def test_the_mask_is_the_lumen() -> None:
    anatomy = scanned(SHAPE)
    canal = measure_canal(anatomy)
    points = anatomy.coordinates()
    assert not (canal.canal_mask & anatomy.mask).any()
    assert not canal.canal_mask.flags.writeable
    inner = SHAPE.in_canal(points) & (np.abs(points[..., 2]) < SHAPE.half_height - 1.5)
    # A voxel at the ellipse's rim may belong to either; deeper ones must be in.
    deep = ndimage.binary_erosion(inner) & ~anatomy.mask
    assert canal.canal_mask[deep].mean() > 0.98
    assert anatomy.vert_from_lps.apply(canal.centre_lps)[0] == pytest.approx(0.0, abs=0.6)
    assert np.abs(points[canal.canal_mask][:, 0]).max() < SHAPE.canal_half_width + 3.0
    assert np.abs(points[canal.canal_mask][:, 2]).max() < SHAPE.half_height + 1.0


def test_the_same_in_every_storage_order() -> None:
    plain = Scan((1.5, 1.8, 2.0))
    first = measure_canal(scanned(SHAPE, plain))
    for order, flips in ORDERS:
        canal = measure_canal(scanned(SHAPE, replace(plain, order=order, flips=flips)))
        assert canal.area_mm2.value == pytest.approx(first.area_mm2.value, abs=1e-6)
        np.testing.assert_allclose(canal.centre_lps, first.centre_lps, atol=1e-6)


def test_a_wall_fragment_narrows_the_canal() -> None:
    plain, bulged = measure_canal(scanned(SHAPE)), measure_canal(scanned(replace(SHAPE, bulge=4.0)))
    assert bulged.ap_mm.value < plain.ap_mm.value - 2.0
    assert bulged.area_mm2.value < plain.area_mm2.value - 20.0


def test_an_open_arch_has_no_canal_and_says_so() -> None:
    anatomy = scanned(SHAPE)
    points = anatomy.coordinates()
    laminectomy = (np.abs(points[..., 0]) < 6.0) & (points[..., 1] > SHAPE.canal_middle)
    opened = replace(anatomy, mask=anatomy.mask & ~laminectomy, arch=anatomy.arch & ~laminectomy)
    canal = measure_canal(opened)
    assert "no bony ring closes" in canal.reason
    assert canal.canal_mask is None
    assert canal.centre_lps is None


def test_body_only_labels_have_no_canal() -> None:
    anatomy = scanned(SHAPE)
    alone = replace(anatomy, mask=anatomy.body, arch=np.zeros_like(anatomy.body))
    assert "no arch" in measure_canal(alone).reason


def test_these_checks_can_fail() -> None:
    """A canal two millimetres wider than told is seen."""
    wide = measure_canal(scanned(replace(SHAPE, canal_half_depth=9.0)))
    _, depth, _ = true_lumen(SHAPE, 5.0)
    assert wide.ap_mm.value != pytest.approx(depth, abs=0.9)


@pytest.mark.data
def test_a_real_lumbar_canal(data_dir: Path) -> None:
    """L3 of tptbox_l3: a lumbar canal is 12 to 25 mm deep and 18 to 32 mm wide."""
    (anatomy,) = real_anatomies(data_dir / "tptbox_l3", "vert.nii.gz", ("L3",), "subreg.nii.gz")
    canal = measure_canal(anatomy)
    assert 12.0 <= canal.ap_mm.value <= 25.0
    assert 18.0 <= canal.transverse_mm.value <= 32.0
