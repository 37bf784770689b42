"""The image chain: noise and dose, brightness control, display, live frames, letters, warnings, PNG and DICOM XA."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fluoro.bodies import MATERIALS, SETTINGS, view_at, water_block

from vertecast.core.errors import GeometryError, InputError, ParameterError
from vertecast.devices.carm import Lying, Pose, View
from vertecast.fluoro.body import Body
from vertecast.fluoro.exposure import Collimation, automatic_technique, dose_of, fixed_technique
from vertecast.fluoro.fluoroscope import Fluoroscope
from vertecast.fluoro.marks import edge_letters, marked, patient_orientation
from vertecast.fluoro.radiograph import Options, make_background, radiograph, scene_signal
from vertecast.fluoro.scene import Scene, Tube, VoxelField
from vertecast.fluoro.surface import level_set_surface
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.kernels.project_reference import beer_lambert_plain
from vertecast.kernels.project_signal import beer_lambert, negative_log
from vertecast.physics.attenuation import iodine_contrast, opacified

BODY = Body(water_block(), SETTINGS.physics, SETTINGS.tissue)
OPEN = Options(collimation=Collimation(), marks=False)
NEEDLE = Tube(np.array([5.0, -5, 0]), np.array([20.0, 60, 10]), 1.6, 0.0, MATERIALS["steel_316l"])


def relative_variance(kerma: float, seed: int = 1) -> float:
    settings = replace(
        SETTINGS,
        exposure=replace(SETTINGS.exposure, radiograph_kerma=kerma, highest_charge=1e9),
        detector=replace(SETTINGS.detector, electronic_quanta=0.0),
    )
    options = replace(OPEN, seed=seed, kvp=80.0)
    view = view_at(256)
    taken = radiograph(BODY, view, settings=settings, options=options)
    clean, _ = scene_signal(make_background(BODY, view, settings, options, kerma_mgy=kerma), [], settings)
    centre = slice(104, 152)
    return float(((taken.signal / clean - 1)[centre, centre] ** 2).mean())


def test_noise_variance_follows_the_dose() -> None:
    low, high = relative_variance(1e-5), relative_variance(4e-5, seed=2)
    assert low / high == pytest.approx(4.0, rel=0.12)


def test_quanta_are_those_of_the_kerma() -> None:
    background = make_background(BODY, view_at(128), SETTINGS, OPEN, kerma_mgy=3e-5)
    quanta = background.signal[48:80, 48:80].mean() / view_at(128).carm.pixel_mm[0] ** 2
    assert 500 < quanta < 2000  # 30 nGy, 30 000 quanta/(mm2 uGy), most of them absorbed


def test_dose_obeys_inverse_squares_and_the_shutters() -> None:
    view = view_at()
    technique = fixed_technique(SETTINGS, 80.0, 1.0)
    near = replace(SETTINGS, carm=replace(SETTINGS.carm, source_isocentre=500.0, reference_point=150.0))
    one, other = (dose_of(technique, view, s, Collimation()) for s in (SETTINGS, near))
    distances = SETTINGS.carm.source_isocentre - 150.0, 350.0
    ratio = (other.air_kerma_mgy.value or 0) / (one.air_kerma_mgy.value or 1)
    assert ratio == pytest.approx((distances[0] / distances[1]) ** 2, rel=1e-9)
    assert other.dap_mgy_cm2.value == pytest.approx(one.dap_mgy_cm2.value, rel=1e-9)
    half = dose_of(technique, view, SETTINGS, Collimation(left=0.25, right=0.25))
    assert half.dap_mgy_cm2.value == pytest.approx((one.dap_mgy_cm2.value or 0) / 2)
    assert half.air_kerma_mgy.value == one.air_kerma_mgy.value
    ten = dose_of(technique, view, SETTINGS, Collimation(), frames=10)
    assert ten.air_kerma_mgy.value == pytest.approx(10 * (one.air_kerma_mgy.value or 0))
    assert one.air_kerma_mgy.low < one.air_kerma_mgy.value < one.air_kerma_mgy.high  # type: ignore[operator]


def test_signal_falls_with_the_square_of_the_distance_to_the_detector() -> None:
    far = replace(SETTINGS, carm=replace(SETTINGS.carm, source_detector=2 * SETTINGS.carm.source_detector))
    technique = fixed_technique(SETTINGS, 80.0, 1.0)
    assert technique.weights(SETTINGS, 1.0) == pytest.approx(4 * technique.weights(far, 1.0), rel=1e-6)


def test_brightness_control_keeps_the_signal_and_raises_the_voltage_with_thickness() -> None:
    thick = Body(water_block((60, 130, 60), 2.0), SETTINGS.physics, SETTINGS.tissue)
    view = view_at(64)
    techniques = [automatic_technique(SETTINGS, b.paths(view), kerma_mgy=3e-5) for b in (BODY, thick)]
    assert techniques[1].kvp > techniques[0].kvp
    assert techniques[1].mas > techniques[0].mas
    tired = replace(SETTINGS, exposure=replace(SETTINGS.exposure, highest_charge=1e-6))
    taken = radiograph(BODY, view, settings=tired, options=OPEN)
    assert any("generator's limit" in sentence for sentence in taken.warnings)


def test_compiled_signal_is_that_of_the_reference() -> None:
    generator = np.random.default_rng(0)
    paths = generator.uniform(0, 250, (3, 20, 30)).astype(np.float32)
    attenuation = generator.uniform(0.005, 0.04, (3, 16)).astype(np.float32)
    weights = generator.uniform(0, 1e4, (2, 16)).astype(np.float32)
    signal, variance = np.empty((20, 30), np.float32), np.empty((20, 30), np.float32)
    beer_lambert(paths, attenuation, weights, signal, variance)
    expected = beer_lambert_plain(paths, attenuation, weights)
    assert signal == pytest.approx(expected[0], rel=2e-5)
    assert variance == pytest.approx(expected[1], rel=2e-5)
    values = np.geomspace(0.5, 1e7, 5000, dtype=np.float32).reshape(50, 100)
    logs = np.empty_like(values)
    negative_log(values, np.float32(0.1), logs)
    assert np.abs(logs + np.log(values.astype(float))).max() < 3e-6


def test_the_needle_is_dark_and_where_it_should_be() -> None:
    view = view_at(512)
    for options in (OPEN, replace(OPEN, bone_bright=True)):
        taken = radiograph(BODY, view, scene=Scene((NEEDLE,)), settings=SETTINGS, options=options)
        on = view.to_pixel((NEEDLE.start_lps + NEEDLE.end_lps) / 2).round().astype(int)
        inside = float(taken.pixels[on[1] - 1 : on[1] + 2, on[0] - 1 : on[0] + 2].mean())
        beside = float(taken.pixels[on[1] + 30 : on[1] + 40, on[0] - 40 : on[0] - 30].mean())
        assert (inside < beside - 40) != options.bone_bright
        assert (inside > beside + 40) == options.bone_bright


def test_balloon_and_cement_are_black_where_they_are_and_plain_pmma_is_not() -> None:
    view, materials = view_at(512), MATERIALS
    grid = Grid.from_affine((24, 24, 24), np.diag([0.8, 0.8, 0.8, 1.0]))
    places = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1)) - 9.2
    lump = (np.linalg.norm(places, axis=-1) < 7.0).astype(np.float32)

    def at(shift: float) -> Grid:
        matrix = np.diag([0.8, 0.8, 0.8, 1.0])
        matrix[:3, 3] = [shift - 9.2, -9.2, -9.2]
        return Grid.from_affine(grid.shape, matrix)

    pmma, barium = materials["pmma"], materials["barium_sulfate"]
    shapes = {
        -25.0: VoxelField(lump, at(-25.0), opacified(pmma, barium, 0.2)),
        0.0: VoxelField(lump, at(0.0), pmma),
        25.0: level_set_surface(0.5 - lump, at(25.0), iodine_contrast(240.0, materials)),
    }
    taken = radiograph(BODY, view, scene=Scene(tuple(shapes.values())), settings=SETTINGS, options=OPEN)
    grey = {}
    for shift in shapes:
        column, row = view.to_pixel([shift, 0, 0]).round().astype(int)
        grey[shift] = float(taken.pixels[row - 4 : row + 5, column - 4 : column + 5].mean())
    assert max(grey[-25.0], grey[25.0]) < 60
    assert grey[0.0] > max(grey[-25.0], grey[25.0]) + 60


def test_live_frames_average_count_dose_and_hold_the_last_image() -> None:
    scope = Fluoroscope(BODY, view_at(128), settings=SETTINGS, options=OPEN)
    first = scope.frame()
    spread = [float(first.signal[50:78, 50:78].std())]
    for _ in range(8):
        last = scope.frame(Scene((NEEDLE,)))
    calm = scope.frame()
    for _ in range(12):
        calm = scope.frame()
    spread.append(float(calm.signal[50:78, 50:78].std()))
    assert spread[1] < 0.75 * spread[0]
    assert scope.last is calm
    assert calm.number == 22
    assert scope.dose.frames == 22
    assert scope.dose.seconds == pytest.approx(22 / 7.5)
    assert last.pixels.shape == (128, 128)
    assert scope.preview(view_at(128, lao_deg=20.0)).shape == (256, 256)
    scope.move(view_at(128, lao_deg=20.0))
    assert scope.frame().view.pose.lao_deg == pytest.approx(20.0)


def test_lag_leaves_a_trace_of_the_needle_that_fades() -> None:
    quiet = replace(
        SETTINGS, exposure=replace(SETTINGS.exposure, detector_kerma=10.0, highest_charge=1e9, recursion=0.0)
    )
    view = view_at(256)
    scope = Fluoroscope(BODY, view, settings=quiet, options=OPEN)
    before = scope.frame().signal
    scope.frame(Scene((NEEDLE,)))
    traces = [np.abs(scope.frame().signal / before - 1).max() for _ in range(2)]
    assert traces[0] > 0.005
    assert traces[1] < 0.6 * traces[0]


def test_the_same_seed_gives_the_same_picture() -> None:
    pictures = [
        radiograph(BODY, view_at(64), settings=SETTINGS, options=replace(OPEN, seed=s)).pixels for s in (3, 3, 4)
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_letters_stand_at_the_edges_of_the_screen() -> None:
    assert edge_letters(view_at().pose) == {"left": "L", "right": "R", "top": "H", "bottom": "F"}
    assert edge_letters(view_at(lao_deg=90.0).pose) == {"left": "A", "right": "P", "top": "H", "bottom": "F"}
    supine = Pose.tilted(np.zeros(3), lying=Lying.SUPINE)
    assert edge_letters(supine) == {"left": "R", "right": "L", "top": "H", "bottom": "F"}
    assert patient_orientation(view_at().pose) == ("R", "F")
    blank = np.full((512, 512), 128, np.uint8)
    drawn = marked(blank, view_at().pose, "LAO 0")
    assert (drawn[240:300, :60] == 255).any()
    assert not (drawn[150:220, 150:350] == 255).any()


def test_truncation_padding_and_couch_are_said() -> None:
    volume = water_block()
    hu = volume.hu.copy()
    hu[0] = hu[1]
    cut = Volume(np.roll(hu, -4, axis=0), volume.grid)
    assert any("cut at the CT's faces R" in s for s in Body(cut, SETTINGS.physics, SETTINGS.tissue).warnings)
    padded = volume.hu.copy()
    padded[:2] = -2048
    body = Body(Volume(padded, volume.grid), SETTINGS.physics, SETTINGS.tissue)
    assert any("padding, taken as air" in s for s in body.warnings)
    assert np.allclose(body.paths(view_at(64)), BODY.paths(view_at(64)))
    couch = np.full((60, 90, 60), -1024, np.int16)
    couch[:, :50] = volume.hu
    couch[4:-4, 70:74, 4:-4] = 200
    matrix = volume.grid.lps_from_voxel.matrix
    lying = Volume(couch, type(volume.grid).from_affine(couch.shape, matrix))
    with_couch = Body(lying, SETTINGS.physics, SETTINGS.tissue)
    assert any("scanner couch" in s for s in with_couch.warnings)
    assert np.abs(with_couch.paths(view_at(64)) - BODY.paths(view_at(64))).max() < 0.5
    assert json.dumps(radiograph(body, view_at(64), settings=SETTINGS, options=OPEN).as_json())


def test_truncation_is_in_the_metadata_of_each_image(tmp_path: Path) -> None:
    import pydicom
    from PIL import Image

    from vertecast.imaging.write import write_nifti
    from vertecast.pipeline.radiograph import RadiographCase, radiograph_case

    volume = water_block()
    ct = write_nifti(tmp_path / "ct.nii.gz", Volume(np.roll(volume.hu, -4, axis=0), volume.grid))
    radiograph_case(RadiographCase(ct=ct, columns=64, dicom=True), tmp_path / "out")
    sentence = "the body is cut at the CT's faces"
    assert sentence in pydicom.dcmread(tmp_path / "out" / "radiograph.dcm").ImageComments
    with Image.open(tmp_path / "out" / "radiograph.png") as picture:
        assert sentence in picture.text["Warning"]  # type: ignore[attr-defined]
    assert sentence in " ".join(json.loads((tmp_path / "out" / "radiograph.json").read_text())["warnings"])
    assert sentence in (tmp_path / "out" / "manifest.json").read_text()


def test_refusals() -> None:
    outside = View(SETTINGS.carm.binned(64), Pose.tilted([500.0, 0, 0]))
    with pytest.raises(GeometryError, match="is outside the CT"):
        radiograph(BODY, outside, settings=SETTINGS)
    volume = water_block((160, 50, 60))
    hu = volume.hu.copy()
    hu[40:] = -1024
    beside = Body(Volume(hu, volume.grid), SETTINGS.physics, SETTINGS.tissue)
    with pytest.raises(GeometryError, match="no ray meets tissue; move the table"):
        radiograph(beside, View(SETTINGS.carm.binned(64), Pose.tilted([140.0, 0, 0])), settings=SETTINGS)
    nearly = radiograph(beside, View(SETTINGS.carm.binned(64), Pose.tilted([-20.0, 0, 0])), settings=SETTINGS)
    assert nearly.pixels.std() > 0
    with pytest.raises(GeometryError, match="has no area"):
        SETTINGS.carm.binned(0)
    with pytest.raises(GeometryError, match="is beyond the gantry"):
        view_at(lao_deg=150.0)
    with pytest.raises(GeometryError, match="leave no field"):
        Collimation(left=0.6, right=0.5)
    with pytest.raises(ParameterError, match="must be positive"):
        fixed_technique(SETTINGS, 80.0, 0.0)
    with pytest.raises(ParameterError, match="outside the table"):
        radiograph(BODY, view_at(64), settings=SETTINGS, options=Options(kvp=200.0))


def test_memory_stays_below_five_float_volumes_at_its_peak() -> None:
    BODY.paths(view_at(64))  # tables and kernels are loaded before
    volume = water_block((120, 120, 120), 1.5)
    tracemalloc.start()
    try:
        body = Body(volume, SETTINGS.physics, SETTINGS.tissue)
        for axis in (0, 1, 2):
            body.layout(axis)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one = volume.hu.size * 4
    assert peak + volume.hu.nbytes < 5 * one
    assert peak > 4 * one  # two layouts of two materials are held: the measure sees them


def test_a_layout_holds_the_split_ct() -> None:
    volume = water_block((20, 22, 24))
    body = Body(volume, SETTINGS.physics, SETTINGS.tissue)
    for axis in (0, 1, 2):
        water, _ = body.layout(axis)
        inner = water.values[:, 1:-1, 1:-1].transpose(np.argsort(water.axes))
        assert np.array_equal(inner, np.where(volume.hu == 0, np.float32(1.0), np.float32(0.0)))
        assert water.shape == volume.hu.shape


def test_xa_and_png_hold_the_picture_and_its_geometry(tmp_path: Path) -> None:
    import pydicom

    from vertecast.imaging.png import encode_png, write_png
    from vertecast.imaging.xa import write_xa
    from vertecast.pipeline.radiograph import xa_image

    view = view_at(64, lao_deg=20.0, cranial_deg=-10.0)
    taken = radiograph(BODY, view, settings=SETTINGS, options=OPEN)
    written = pydicom.dcmread(write_xa(tmp_path / "xa.dcm", xa_image(taken)))
    assert written.SOPClassUID.name == "X-Ray Angiographic Image Storage"
    assert np.array_equal(written.pixel_array, taken.pixels)
    assert float(written.PositionerPrimaryAngle) == pytest.approx(160.0)
    assert float(written.PositionerSecondaryAngle) == pytest.approx(-10.0)
    assert [float(x) for x in written.ImagerPixelSpacing] == pytest.approx([300 / 64] * 2)
    assert float(written.DistanceSourceToDetector) == 1020
    assert list(written.PatientOrientation) == list(patient_orientation(view.pose))
    assert written.PatientPosition == "HFP"
    assert written.PatientName == ""
    assert "Simulated" in written.ImageComments
    from PIL import Image

    path = write_png(tmp_path / "x.png", taken.pixels, {"Software": "Vertecast"})
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), taken.pixels)
    with pytest.raises(InputError, match="a grey PNG needs"):
        encode_png(taken.pixels.astype(float))  # type: ignore[arg-type]


def test_these_checks_can_fail() -> None:
    wrong = relative_variance(1e-5) / relative_variance(2e-5, seed=2)
    assert wrong != pytest.approx(4.0, rel=0.12)
