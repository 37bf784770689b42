"""Shapes in the beam have exact paths, land where they are and displace tissue; split rendering is full rendering."""

import numpy as np
import pytest
from tests.fluoro.bodies import MATERIALS, SETTINGS, cube_surface, view_at, water_block

from vertecast.core.errors import GeometryError
from vertecast.devices.carm import Pose, View
from vertecast.fluoro.body import Body, cone_through, integrate
from vertecast.fluoro.overlay import Footprint, Overlay, footprint
from vertecast.fluoro.radiograph import Options, make_background, scene_signal
from vertecast.fluoro.scene import Ball, ClosedSurface, Scene, Tube, VoxelField
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.kernels.project import make_stack
from vertecast.physics.attenuation import Material

STEEL = MATERIALS["steel_316l"]
BODY = Body(water_block(), SETTINGS.physics, SETTINGS.tissue)


def seen(shape, view: View | None = None, body: Body = BODY) -> Footprint:  # type: ignore[no-untyped-def]
    found = footprint(shape, view or view_at(512), body)
    assert found is not None
    return found


def whole(one: Footprint, view: View) -> np.ndarray:
    out = np.zeros(view.shape)
    out[one.window[0] : one.window[1], one.window[2] : one.window[3]] = one.path
    return out


def test_a_point_lands_on_its_pixel_at_thirty_poses() -> None:
    generator = np.random.default_rng(11)
    for _ in range(30):
        axes = np.linalg.qr(generator.standard_normal((3, 3)))[0]  # any pose of the grid, mirrored ones too
        spacing = generator.uniform(0.5, 1.5, 3)
        shape = (24, 28, 22)
        centre = generator.normal(0, 100, 3)
        matrix = np.eye(4)
        matrix[:3, :3] = axes * spacing
        matrix[:3, 3] = centre - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
        grid = Grid.from_affine(shape, matrix)
        point = centre + axes @ generator.uniform(-3, 3, 3)
        distance = grid.to_lps(np.moveaxis(np.indices(shape), 0, -1)) - point
        field = np.exp(-0.5 * (distance**2).sum(axis=-1) / 1.6**2).astype(np.float32)
        isocentre = centre + generator.uniform(-30, 30, 3)
        pose = Pose.tilted(isocentre, lao_deg=generator.uniform(-100, 100), cranial_deg=generator.uniform(-40, 40))
        view = View(SETTINGS.carm.binned(512), pose)
        cone = cone_through(view, grid)
        picture = integrate(make_stack(field, cone.slice_axis), cone).astype(float)
        rows, columns = np.indices(view.shape)
        found = np.array([(columns * picture).sum(), (rows * picture).sum()]) / picture.sum()
        assert np.abs(found - view.to_pixel(point)).max() < 0.1


def test_a_rod_and_a_tube_across_the_beam_have_their_chords() -> None:
    view = view_at(1024)
    ends = np.array([-40.0, 0, 0]), np.array([40.0, 0, 0])
    rod = seen(Tube(*ends, 1.6, 0.0, STEEL), view)
    tube = seen(Tube(*ends, 1.6, 1.2, STEEL), view)
    middle = rod.path.shape[1] // 2
    assert rod.path[:, middle].max() == pytest.approx(3.2, abs=0.02)
    assert 1.5 < tube.path[:, middle].max() <= 2 * np.sqrt(1.6**2 - 1.2**2)  # a cusp, met by few pixels
    # Area across the axis: the integral of chords over the plane at the isocentre.
    pitch = view.carm.pixel_mm[1] / float(view.magnification(np.zeros(3)))
    assert rod.path[:, middle].sum() * pitch == pytest.approx(np.pi * 1.6**2, rel=0.005)
    assert tube.path[:, middle].sum() * pitch == pytest.approx(np.pi * (1.6**2 - 1.2**2), rel=0.005)


def test_a_rod_down_the_beam_is_a_dot_as_long_as_the_rod() -> None:
    view = view_at(1024)
    axis = view.pose.towards_detector_lps
    rod = seen(Tube(-30 * axis, 30 * axis, 1.5, 0.0, STEEL), view)
    assert rod.path.max() == pytest.approx(60.0, rel=0.03)
    assert max(rod.path.shape) < 30


def test_a_ball_and_a_closed_cube_have_exact_paths() -> None:
    view = view_at(512, lao_deg=17.0, cranial_deg=9.0)
    ball = seen(Ball(np.array([4.0, 3, -5]), 6.0, STEEL), view)
    assert ball.path.max() == pytest.approx(12.0, abs=0.02)
    vertices, faces = cube_surface(7.0, (3.0, -2.0, 5.0))
    cube = whole(seen(ClosedSurface(vertices, faces, STEEL), view), view)
    v, u = np.indices(view.shape)
    ends = view.to_lps(np.stack([u, v], axis=-1)) - view.source_lps
    low, high = vertices.min(axis=0) - view.source_lps, vertices.max(axis=0) - view.source_lps
    near = np.minimum(low / ends, high / ends).max(axis=-1)
    far = np.maximum(low / ends, high / ends).min(axis=-1)
    exact = np.maximum(far - near, 0) * np.linalg.norm(ends, axis=-1)
    assert np.abs(cube - exact).max() < 1e-3


def test_shapes_are_seen_where_the_geometry_says() -> None:
    view = view_at(512, lao_deg=-25.0, cranial_deg=12.0)
    place = np.array([12.0, -8.0, 15.0])
    picture = whole(seen(Ball(place, 2.0, STEEL), view), view)
    rows, columns = np.indices(view.shape)
    found = np.array([(columns * picture).sum(), (rows * picture).sum()]) / picture.sum()
    assert np.abs(found - view.to_pixel(place)).max() < 0.1


def test_what_a_shape_displaces_is_the_tissue_there() -> None:
    in_water = seen(Ball(np.zeros(3), 5.0, STEEL))
    assert in_water.displaced[0] == pytest.approx(in_water.path, rel=1e-5)
    assert not in_water.displaced[1].any()
    in_air = seen(Ball(np.array([58.0, 0, 0]), 1.0, STEEL))
    assert not in_air.displaced.any()
    nested = seen(Ball(np.zeros(3), 5.0, STEEL, displaces=False))
    assert not nested.displaced.any()


def test_water_in_water_is_invisible_and_so_is_plain_pmma_but_not_cement() -> None:
    view = view_at(128)
    background = make_background(BODY, view, SETTINGS, Options(), kerma_mgy=1e-3)
    bare, _ = scene_signal(background, [], SETTINGS)

    def change(material: Material) -> float:
        prints = Overlay(view, BODY).footprints(Scene((Ball(np.zeros(3), 8.0, material),)))
        signal, _ = scene_signal(background, prints, SETTINGS)
        return float(np.abs(np.log(signal / bare)).max())

    from vertecast.physics.attenuation import opacified

    assert change(MATERIALS["water"]) < 1e-5
    assert change(MATERIALS["pmma"]) < 0.06
    assert change(opacified(MATERIALS["pmma"], MATERIALS["barium_sulfate"], 0.3)) > 1.0


def test_split_rendering_equals_full_rendering() -> None:
    volume = water_block()
    grid = volume.grid
    place = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1))
    fraction = np.exp(-0.5 * ((place / [14.0, 10.0, 12.0]) ** 2).sum(axis=-1)).astype(np.float32)
    fraction[fraction < 1e-3] = 0
    light = Material("light water", 0.6, dict(MATERIALS["water"].mass_fractions))
    hu = np.where(volume.hu == 0, -400.0 * fraction, volume.hu).astype(np.float32)
    full_body = Body(Volume(hu, grid), SETTINGS.physics, SETTINGS.tissue)
    for tilt in ({}, {"lao_deg": 35.0, "cranial_deg": 15.0}):
        view = view_at(256, **tilt)
        background = make_background(BODY, view, SETTINGS, Options(kvp=80.0), kerma_mgy=1e-3)
        prints = Overlay(view, BODY).footprints(Scene((VoxelField(fraction, grid, light),)))
        split, _ = scene_signal(background, prints, SETTINGS)
        paths = full_body.paths(view)
        part = prints[0]
        top, bottom, left, right = part.window
        combined = background.paths[0].copy()
        combined[top:bottom, left:right] += 0.6 * part.path - part.displaced[0]
        inner = background.paths[0] > 40
        assert np.abs(combined - paths[0])[inner].max() < 1e-4 * paths[0].max()
        assert split.shape == view.shape


def test_only_what_moved_is_projected_again_and_the_result_is_the_same() -> None:
    view = view_at(256)
    still = Tube(np.array([-20.0, 0, 0]), np.array([-10.0, 60, 10]), 1.5, 1.2, STEEL)
    moves = [Tube(np.array([20.0 - i, 0, 0]), np.array([10.0, 60, 10]), 1.5, 0.0, STEEL) for i in range(3)]
    overlay = Overlay(view, BODY)
    kept = [overlay.footprints(Scene((still, move))) for move in moves]
    assert kept[0][0] is kept[1][0] is kept[2][0]
    background = make_background(BODY, view, SETTINGS, Options(), kerma_mgy=1e-3)
    fresh = Overlay(view, BODY).footprints(Scene((still, moves[2])))
    live, full = scene_signal(background, kept[2], SETTINGS)[0], scene_signal(background, fresh, SETTINGS)[0]
    assert np.array_equal(live, full)


def test_a_shape_outside_the_picture_is_left_out() -> None:
    assert footprint(Ball(np.array([400.0, 0, 0]), 2.0, STEEL), view_at(), BODY) is None


def test_refusals() -> None:
    zero = np.zeros(3)
    with pytest.raises(GeometryError, match=r"inner radius 2\.0 mm"):
        Tube(zero, np.ones(3), 1.0, 2.0, STEEL)
    with pytest.raises(GeometryError, match="both ends are one point"):
        Tube(zero, zero, 1.0, 0.0, STEEL)
    with pytest.raises(GeometryError, match="must be positive"):
        Ball(zero, 0.0, STEEL)
    vertices, faces = cube_surface(5.0)
    with pytest.raises(GeometryError, match="is not closed"):
        ClosedSurface(vertices, faces[:-1], STEEL)
    with pytest.raises(GeometryError, match="faces look inwards"):
        ClosedSurface(vertices, faces[:, ::-1], STEEL)
    grid = water_block().grid
    with pytest.raises(GeometryError, match=r"must lie in \[0, 1\]"):
        VoxelField(np.full(grid.shape, 2.0, np.float32), grid, STEEL)
    with pytest.raises(GeometryError, match="field has shape"):
        VoxelField(np.zeros((2, 2, 2), np.float32), grid, STEEL)


def test_these_checks_can_fail() -> None:
    view = view_at(512)
    place = np.array([12.0, -8.0, 15.0])
    picture = whole(seen(Ball(place, 2.0, STEEL), view), view)
    columns = np.indices(view.shape)[1]
    mirrored = (columns * picture[:, ::-1]).sum() / picture.sum()
    assert abs(mirrored - view.to_pixel(place)[0]) > 10
