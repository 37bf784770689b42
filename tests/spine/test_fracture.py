"""Proves: the virtual fracture takes away what was asked, is invertible, moves what is above rigidly, keeps mineral."""

import json
from pathlib import Path

import numpy as np
import pytest

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.fracture.fracture import Fractured, fracture_vertebra
from vertecast.spine.fracture.phantoms import FracturedPhantom, fracture_phantom
from vertecast.spine.fracture.spec import BreachSite, CleftFilling, FractureSpec
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import Scan, default_spec

ASKED = {
    "wedge 32": FractureSpec.wedge(0.32),
    "biconcave 30": FractureSpec.biconcave(0.30),
    "crush 30": FractureSpec.crush(0.30),
}


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    scan = Scan(spacing_mm=(1.5, 1.5, 1.5), noise_hu=0.0)
    return make_phantom(default_spec(Level.T12, Level.L2, scan=scan), seed=1)


@pytest.fixture(scope="module", params=list(ASKED))
def broken(request: pytest.FixtureRequest, phantom: Phantom) -> tuple[FractureSpec, FracturedPhantom]:
    spec = ASKED[request.param]
    return spec, fracture_phantom(phantom, Level.L1, spec)


Broken = tuple[FractureSpec, FracturedPhantom]


def test_takes_what_was_asked_and_says_so(broken: Broken) -> None:
    spec, made = broken
    truth = made.fractured.truth
    assert truth.loss_percent("anterior") == pytest.approx(100 * spec.anterior_loss, abs=0.1)
    assert truth.loss_percent("posterior") == pytest.approx(100 * spec.posterior_loss, abs=0.1)
    if spec.middle_loss is not None:
        assert truth.loss_percent("middle") == pytest.approx(100 * spec.middle_loss, abs=0.1)
    assert json.loads(json.dumps(truth.as_json()))["level"] == "L1"


def test_is_invertible_and_returns(broken: Broken) -> None:
    warp, truth = broken[1].fractured.warp, broken[1].fractured.truth
    assert truth.least_volume_ratio > 0.05
    assert truth.round_trip_mm < 0.1
    grid = broken[1].phantom.labels.grid
    places = grid.to_lps(np.argwhere(np.ones(grid.shape, bool))[::211])
    assert np.abs(warp.forward(warp.backward(places)) - places).max() < 0.01


def test_no_darker_than_the_ct_it_came_from(broken: Broken, phantom: Phantom) -> None:
    assert broken[1].phantom.volume.hu.min() >= min(-1024.0, float(phantom.volume.hu.min()))


def test_above_moves_rigidly_and_below_stays(broken: Broken, phantom: Phantom) -> None:
    warp, truth = broken[1].fractured.warp, broken[1].fractured.truth
    grid = phantom.labels.grid
    for level, moved in ((Level.T12, truth.above_from_before.apply), (Level.L2, lambda p: p)):
        body = phantom.labels.mask(level) & np.isin(phantom.subregions, (49, 50))
        places = grid.to_lps(np.argwhere(body))
        assert np.linalg.norm(warp.forward(places) - moved(places), axis=1).max() < 0.3


def test_mineral_is_conserved_and_bone_denser(broken: Broken) -> None:
    truth = broken[1].fractured.truth
    assert truth.mineral_ratio == pytest.approx(1.0, abs=0.04)
    after = broken[1].phantom
    before_hu = 150.0
    body = after.labels.mask(Level.L1) & (after.subregions == 50)
    assert float(np.median(after.volume.hu[body])) > before_hu


def test_truth_of_the_fractured_phantom_fits_its_labels(broken: Broken) -> None:
    after = broken[1].phantom
    truth = after.truth.levels[Level.L1]
    body = after.labels.mask(Level.L1) & np.isin(after.subregions, (49, 50))
    assert float(body.sum()) * after.labels.grid.voxel_volume == pytest.approx(truth.volume_mm3, rel=0.05)


def test_shapes_differ_as_they_should(phantom: Phantom) -> None:
    wedge = fracture_vertebra(None, phantom.labels, Level.L1, FractureSpec.wedge(0.25)).truth
    crush = fracture_vertebra(None, phantom.labels, Level.L1, FractureSpec.crush(0.25)).truth
    assert wedge.tilt_deg > 10.0 > abs(crush.tilt_deg)
    assert wedge.mineral_ratio is None


def test_lesions_are_there_and_inside(phantom: Phantom) -> None:
    spec = FractureSpec(
        anterior_loss=0.25,
        cleft=CleftFilling.GAS,
        breach=BreachSite.SUPERIOR,
        wall_bulge_mm=3.0,
        cleft_thickness_mm=5.0,
    )
    made = fracture_vertebra(phantom.volume, phantom.labels, Level.L1, spec)
    assert made.volume is not None
    gas = (made.volume.hu < -500.0) & made.labels.mask(Level.L1)
    lesion = made.truth.lesions[0]
    assert lesion.kind == "gas"
    assert float(gas.sum()) * phantom.volume.grid.voxel_volume == pytest.approx(lesion.volume_mm3, rel=0.35)
    back = phantom.truth.levels[Level.L1]
    wall = back.vert_from_lps.inverse.apply([[0.0, 0.5 * back.depth_mm - 0.9, 3.0]])
    bulge = (made.warp.forward(wall) - wall) @ back.vert_from_lps.axes[1]
    assert 1.5 < float(bulge[0]) < 4.0


def test_a_check_can_fail(phantom: Phantom) -> None:
    asked = fracture_vertebra(None, phantom.labels, Level.L1, FractureSpec.wedge(0.20)).truth
    assert asked.loss_percent("anterior") != pytest.approx(25.0, abs=0.1)


def test_refusals(phantom: Phantom) -> None:
    with pytest.raises(InputError, match="is outside 0 to"):
        FractureSpec.wedge(0.9)
    with pytest.raises(InputError, match="the canal would fold"):
        FractureSpec(anterior_loss=0.2, wall_bulge_mm=9.0)
    with pytest.raises(InputError, match="choose one inside"):
        FractureSpec(anterior_loss=0.2, breach_radius_mm=20.0)
    with pytest.raises(GeometryError, match="ask for less loss"):
        fracture_vertebra(None, phantom.labels, Level.L1, FractureSpec.crush(0.75))
    with pytest.raises(GeometryError, match="give the CT too"):
        fracture_vertebra(None, phantom.labels, Level.L1, FractureSpec(anterior_loss=0.2, cleft=CleftFilling.GAS))
    with pytest.raises(InputError, match="level L5 is not in the labels"):
        fracture_vertebra(None, phantom.labels, Level.L5, FractureSpec.wedge(0.2))
    block = np.zeros((60, 60, 60), np.int16)
    block[20:40, 20:40, 20:40] = 20
    bare = LabelMap(block, Grid.from_affine((60, 60, 60), np.eye(4)), {Level.L1: 20}, "verse")
    with pytest.raises(GeometryError, match="check the label"):
        fracture_vertebra(None, bare, Level.L1, FractureSpec.wedge(0.2))


@pytest.mark.data
@pytest.mark.parametrize(
    ("level", "spec"),
    [(Level.L2, FractureSpec.wedge(0.22)), (Level.L3, FractureSpec.wedge(0.46)), (Level.L3, FractureSpec.crush(0.3))],
)
def test_a_real_ct_takes_the_loss(data_dir: Path, level: Level, spec: FractureSpec) -> None:
    nib = pytest.importorskip("nibabel")
    folder = data_dir / "verse014"
    ct, vert = nib.load(folder / "ct.nii.gz"), nib.load(folder / "vert.nii.gz")
    grid = Grid.from_affine(ct.shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ ct.affine)
    volume = Volume(np.asarray(ct.dataobj).astype(np.float32), grid)
    labels = LabelMap(
        np.asarray(vert.dataobj).astype(np.int16), grid, {Level(f"L{n - 19}"): n for n in range(20, 25)}, "verse"
    )
    made: Fractured = fracture_vertebra(volume, labels, level, spec)
    assert made.truth.loss_percent("anterior") == pytest.approx(100 * spec.anterior_loss, abs=0.1)
    assert made.truth.mineral_ratio == pytest.approx(1.0, abs=0.06)
    assert made.truth.least_volume_ratio > 0.05
    below = labels.mask(Level.L5)
    changed = below != made.labels.mask(Level.L5)
    assert changed.sum() <= 1e-3 * below.sum()  # the weights' smooth tail moves its arch by some hundredths of a mm
