"""Line integrals: analytic bodies, the exact integral of the trilinear field, axis order, mirror, windows, threads."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from vertecast.kernels.project import Cone, can_separate, make_stack, project_stack
from vertecast.kernels.project_march import march_stack
from vertecast.kernels.project_reference import exact_integrals

FOCUS_MM, DETECTOR_MM, SIZE_MM = 620.0, 400.0, 300.0
POSES = [(180.0, 0.0), (90.0, 0.0), (155.0, 0.0), (180.0, 20.0), (145.0, 25.0), (136.0, 0.0), (100.0, 15.0)]


def cone_of(shape, spacing, angles, pixels=96, shift=(0.0, 0.0, 0.0)):  # type: ignore[no-untyped-def]
    """Rays of a C-arm whose isocentre is the middle of an axis-aligned field."""
    primary, secondary = np.radians(angles)
    front = np.array([np.sin(primary), -np.cos(primary), 0.0])
    out = np.cos(secondary) * front + np.array([0.0, 0.0, np.sin(secondary)])
    right = np.array([np.cos(primary), np.sin(primary), 0.0])
    down = np.cross(right, out)
    spacing, pitch = np.asarray(spacing, float), SIZE_MM / pixels
    middle = (np.array(shape) - 1) / 2 * spacing + np.asarray(shift)
    corner = middle + DETECTOR_MM * out - (pixels - 1) / 2 * pitch * (right + down)
    return Cone(
        (middle - FOCUS_MM * out) / spacing,
        corner / spacing,
        right * pitch / spacing,
        down * pitch / spacing,
        (pixels, pixels),
        spacing,
    )


def project(field, cone, **options):  # type: ignore[no-untyped-def]
    return project_stack(make_stack(field, cone.slice_axis), cone, **options)


def rays(cone):  # type: ignore[no-untyped-def]
    """Source and unit directions in millimetres, (rows, columns, 3)."""
    v, u = np.indices(cone.shape)
    ends = cone.corner + u[..., None] * cone.per_column + v[..., None] * cone.per_row - cone.source
    ends = ends * cone.spacing
    return cone.source * cone.spacing, ends / np.linalg.norm(ends, axis=-1, keepdims=True)


def ball(shape, spacing, radius, fine=4):  # type: ignore[no-untyped-def]
    """Part of each voxel inside a centred ball, by sub-sampling."""
    offsets = (np.arange(fine) + 0.5) / fine - 0.5
    grid = [(np.arange(n) - (n - 1) / 2) for n in shape]
    total = np.zeros(shape, np.float32)
    for shift in itertools.product(offsets, repeat=3):
        x, y, z = np.ix_(*[(g + s) * h for g, s, h in zip(grid, shift, spacing, strict=True)])
        total += (x**2 + y**2 + z**2 < radius**2) / fine**3
    return total


def band_limited_ball(shape, spacing, radius, fine=4, spread=0.5):  # type: ignore[no-untyped-def]
    """A centred ball behind a Gaussian of half a voxel along each axis, sampled at the voxel centres.

    What a CT gives of a sharp body: the mean over a voxel alone still aliases, which shows as a staircase in the
    trilinear field between the samples, in the worst pixel of an oblique view 0.65 % of the diameter at 2 mm.
    """
    from scipy.ndimage import gaussian_filter

    places = [((np.arange(n * fine) + 0.5) / fine - n / 2) * h for n, h in zip(shape, spacing, strict=True)]
    x, y, z = np.ix_(*[p.astype(np.float32) for p in places])
    sharp = (x**2 + y**2 + z**2 < radius**2).astype(np.float32)
    smooth = gaussian_filter(sharp, spread * fine, truncate=3)
    for axis, n in enumerate(shape):
        after = np.arange(n) * fine + fine // 2
        smooth = (np.take(smooth, after - 1, axis=axis) + np.take(smooth, after, axis=axis)) / 2
    return smooth


def inner_rays(cone, body, spacing, radius):  # type: ignore[no-untyped-def]
    """Rays whose half chord in a centred ball is more than half its radius, (rows, columns)."""
    source, unit = rays(cone)
    offset = source - (np.array(body.shape) - 1) / 2 * np.array(spacing)
    return (unit @ offset) ** 2 - offset @ offset + radius**2 > (0.5 * radius) ** 2


def ball_error(values, cone, radius, middle):  # type: ignore[no-untyped-def]
    """Root mean square and largest error of the chords well inside, over the diameter; error of their sum."""
    source, unit = rays(cone)
    offset = source - middle
    along = unit @ offset
    under = along**2 - offset @ offset + radius**2
    exact = 2 * np.sqrt(np.maximum(under, 0))
    inner = under > (0.5 * radius) ** 2
    error = (values - exact)[inner] / (2 * radius)
    return np.sqrt((error**2).mean()), np.abs(error).max(), abs(values.sum() / exact.sum() - 1)


BALL_ANGLES = [(180.0, 0.0), (145.0, 25.0), (90.0, 0.0)]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.8, 2.0)])
def test_a_ball_has_its_chords(spacing: tuple[float, float, float]) -> None:
    shape = tuple(int(90 / h) for h in spacing)
    middle = (np.array(shape) - 1) / 2 * np.array(spacing)
    body = band_limited_ball(shape, spacing, 40.0)
    for angles in BALL_ANGLES:
        cone = cone_of(shape, spacing, angles)
        rms, worst, total = ball_error(project(body, cone), cone, 40.0, middle)
        assert rms < 0.0017
        assert worst < 0.005
        assert total < 0.001


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.8, 2.0)])
def test_of_a_sharp_ball_the_voxels_err_and_not_the_projector(spacing: tuple[float, float, float]) -> None:
    shape = tuple(int(90 / h) for h in spacing)
    body = ball(shape, spacing, 40.0)
    for angles in BALL_ANGLES:
        cone = cone_of(shape, spacing, angles)
        values, pixels = project(body, cone), np.argwhere(inner_rays(cone, body, spacing, 40.0))[::5, ::-1]
        exact = exact_integrals(body, cone, pixels)
        assert np.abs(values[pixels[:, 1], pixels[:, 0]] - exact).max() < 0.003 * 80.0


@pytest.mark.parametrize("angles", BALL_ANGLES)
def test_a_smooth_body_with_a_closed_form_has_its_integrals(angles: tuple[float, float]) -> None:
    """(1 - r2/R2) squared: along a ray that passes the middle at b, 16/15 R (1 - b2/R2) to the power 5/2."""
    spacing, radius = (0.7, 0.8, 2.0), 40.0
    shape = tuple(int(90 / h) for h in spacing)
    x, y, z = np.ix_(*[(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)])
    field = (np.maximum(1 - (x**2 + y**2 + z**2) / radius**2, 0) ** 2).astype(np.float32)
    cone = cone_of(shape, spacing, angles)
    source, unit = rays(cone)
    offset = source - (np.array(shape) - 1) / 2 * np.array(spacing)
    past = np.maximum(1 - (offset @ offset - (unit @ offset) ** 2) / radius**2, 0)
    exact = 16 / 15 * radius * past**2.5
    assert np.abs(project(field, cone) - exact).max() < 0.002 * exact.max()


def test_a_wide_slab_has_the_slanted_thickness() -> None:
    field = np.ones((300, 20, 300), np.float32)
    cone = cone_of(field.shape, (1.0, 1.0, 1.0), (180.0, 0.0), pixels=64)
    _, unit = rays(cone)
    exact = 20.0 / np.abs(unit[..., 1])
    assert np.abs(project(field, cone) / exact - 1).max() < 1e-5


def nrmse(field, cone, values, count=600):  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(7)
    pixels = generator.integers(0, cone.shape[0], (count, 2))
    exact = exact_integrals(field, cone, pixels)
    error = values[pixels[:, 1], pixels[:, 0]] - exact
    return float(np.sqrt((error**2).mean()) / np.ptp(exact))


def smooth_noise(shape: tuple[int, int, int]) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(3).standard_normal(shape), 1.5)
    x, y, z = np.ix_(*[np.linspace(-1, 1, n) for n in shape])
    fall = np.clip(1.4 - 1.4 * (x**2 + y**2 + z**2), 0, 1)  # a body inside its CT, not cut by it
    return (fall * np.clip(1 + 0.5 * field / field.std(), 0, None)).astype(np.float32)


@pytest.mark.parametrize("angles", POSES)
def test_it_is_the_integral_of_the_trilinear_field(angles: tuple[float, float]) -> None:
    field = smooth_noise((110, 120, 60))
    cone = cone_of(field.shape, (1.0, 1.0, 2.0), angles, pixels=320)
    assert nrmse(field, cone, project(field, cone), 300) < 2e-3
    assert nrmse(field, cone, project(field, cone, oversampling=2.0), 300) < 1.2e-3


@pytest.mark.data
@pytest.mark.parametrize("angles", POSES)
def test_on_a_real_chest_the_error_is_below_5e_4(data_dir: Path, angles: tuple[float, float]) -> None:
    image = nib.load(data_dir / "cxr" / "ct.nii.gz")
    hu = np.asarray(image.dataobj[100:412, 60:360, 20:100], np.float32)  # type: ignore[attr-defined]
    field = np.where(hu < -950, 0, 0.0206 * (1 + hu / 1000)).astype(np.float32)
    cone = cone_of(field.shape, (0.703125, 0.703125, 2.5), angles, pixels=512)
    assert nrmse(field, cone, project(field, cone), 250) < 5e-4


def test_marching_agrees_where_both_hold_and_alone_sees_along_the_slices() -> None:
    field = smooth_noise((60, 70, 40))
    cone = cone_of(field.shape, (1.0, 1.0, 1.5), (180.0, 10.0), pixels=64)
    stack = make_stack(field, cone.slice_axis)
    assert np.abs(project_stack(stack, cone) - march_stack(stack, cone)).max() < 0.01 * march_stack(stack, cone).max()
    wrong = make_stack(field, 0)
    assert not can_separate(cone, field.shape, 0)
    assert np.allclose(march_stack(wrong, cone), march_stack(stack, cone), atol=1e-3)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_the_order_and_sense_of_the_axes_play_no_part(order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    field = smooth_noise((40, 44, 30))
    cone = cone_of(field.shape, (1.0, 1.0, 1.5), (160.0, 12.0), pixels=64)
    turned = field.transpose(order)[tuple(slice(None, None, s) for s in flips)]
    sense = np.array(flips)
    start = np.where(sense < 0, np.array(turned.shape) - 1, 0)

    def turn(vector: np.ndarray, *, point: bool) -> np.ndarray:
        return vector[list(order)] * sense + (start if point else 0)

    moved = Cone(
        turn(cone.source, point=True),
        turn(cone.corner, point=True),
        turn(cone.per_column, point=False),
        turn(cone.per_row, point=False),
        cone.shape,
        cone.spacing[list(order)],
    )
    same = project(np.ascontiguousarray(turned), moved)
    assert np.abs(same - project(field, cone)).max() < 2e-3 * same.max()


def test_windows_and_threads_change_nothing() -> None:
    field = smooth_noise((50, 60, 40))
    cone = cone_of(field.shape, (1.0, 1.0, 1.0), (170.0, 5.0), pixels=100)
    whole = project(field, cone)
    assert np.array_equal(whole, project(field, cone, threads=2))
    part = project(field, cone.windowed(30, 70, 20, 60))
    assert np.abs(part - whole[30:70, 20:60]).max() < 3e-3 * whole.max()


def test_it_is_linear() -> None:
    field, other = smooth_noise((40, 40, 40)), ball((40, 40, 40), (1.0, 1.0, 1.0), 12.0)
    cone = cone_of(field.shape, (1.0, 1.0, 1.0), (180.0, 0.0), pixels=64)
    both = project(field + 2 * other, cone)
    assert np.allclose(both, project(field, cone) + 2 * project(other, cone), rtol=1e-4, atol=1e-4)


def test_these_checks_can_fail() -> None:
    field = smooth_noise((60, 60, 40))
    cone = cone_of(field.shape, (1.0, 1.0, 2.0), (155.0, 0.0), pixels=320)
    values = project(field, cone)
    assert nrmse(field, cone, values * 1.02, 200) > 2e-3
    assert nrmse(field, cone, np.roll(values, 1, axis=1), 200) > 2e-3
    assert nrmse(field, cone, values[:, ::-1], 200) > 2e-2
