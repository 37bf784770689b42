"""The phantom's CT scanner: the image grid, blur, slice thickness, noise and the order of the array's axes."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import InputError
from vertecast.imaging.grid import Grid
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.placement import Placed, rotation
from vertecast.spine.phantom.spec import Scan

_LARGEST = 120_000_000
_FWHM = math.sqrt(8.0 * math.log(2.0))
_CANONICAL = "LPS"
_OPPOSITE = {"L": "R", "P": "A", "S": "I"}


def image_grid(scan: Scan, placed: tuple[Placed, ...], world_from_patient: NDArray[np.float64]) -> Grid:
    """Return the grid in canonical order (arrays run left, posterior, superior) that frames all the vertebrae."""
    axes = rotation(scan.tilt_deg)
    centres = np.array([one.centre for one in placed]) @ world_from_patient[:3, :3].T + world_from_patient[:3, 3]
    along = centres @ axes
    half = 0.5 * max(Body(one.shape).height for one in placed)
    low = along.min(axis=0) - [0.5 * scan.width_mm, scan.front_mm, half + scan.margin_mm]
    high = along.max(axis=0) + np.array([0.5 * scan.width_mm, scan.back_mm, half + scan.margin_mm])
    spacing = np.array(scan.spacing_mm)
    shape = np.ceil((high - low) / spacing).astype(int)
    if math.prod(shape.tolist()) > _LARGEST:
        raise InputError(
            f"a phantom of {shape.tolist()} voxels exceeds {_LARGEST}; enlarge spacing_mm or reduce levels or width_mm"
        )
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = axes @ (low + 0.5 * spacing)
    return Grid.from_affine(tuple(shape.tolist()), matrix)


def blurred(hu: NDArray[np.float32], scan: Scan) -> NDArray[np.float32]:
    """Apply the in-plane point spread and, where slices overlap, their thickness; in place.

    Notes
    -----
    Voxels already hold the mean over their own box, so a slice as thick as its spacing needs nothing more.
    """
    spread = scan.psf_fwhm_mm / _FWHM
    thickness = scan.slice_thickness_mm or scan.spacing_mm[2]
    through = math.sqrt(max(thickness**2 - scan.spacing_mm[2] ** 2, 0.0) / 12.0)
    for axis, sigma in enumerate((spread, spread, through)):
        if sigma > 0.0:
            ndimage.gaussian_filter1d(hu, sigma / scan.spacing_mm[axis], axis, output=hu, mode="nearest")
    return hu


def add_noise(hu: NDArray[np.float32], scan: Scan, rng: np.random.Generator) -> None:
    """Add correlated noise of the asked standard deviation, in place."""
    if scan.noise_hu == 0.0:
        return
    noise = rng.standard_normal(hu.shape, np.float32)
    scale = 1.0
    for axis in range(2):
        sigma = scan.noise_grain_mm / scan.spacing_mm[axis]
        if sigma > 0.0:
            ndimage.gaussian_filter1d(noise, sigma, axis, output=noise, mode="wrap")
            scale *= _kernel_norm(sigma)
    noise *= np.float32(scan.noise_hu / scale)
    hu += noise


def reoriented(array: NDArray[np.generic], axes: str) -> NDArray[np.generic]:
    """Return the array with its axes running as the letters say, from the canonical left, posterior, superior."""
    order, flips = _order(axes)
    return np.ascontiguousarray(np.flip(np.transpose(array, order), flips))


def reoriented_grid(grid: Grid, axes: str) -> Grid:
    """Return the grid of the reoriented array; every voxel stays where it is in the world."""
    order, flips = _order(axes)
    old = grid.lps_from_voxel.matrix
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, axis in enumerate(order):
        flipped = new in flips
        turn[axis, new] = -1.0 if flipped else 1.0
        turn[axis, 3] = grid.shape[axis] - 1 if flipped else 0.0
    return Grid.from_affine(tuple(grid.shape[axis] for axis in order), old @ turn)


def _order(axes: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    order = tuple(next(i for i, a in enumerate(_CANONICAL) if letter in (a, _OPPOSITE[a])) for letter in axes)
    flips = tuple(i for i, letter in enumerate(axes) if letter not in _CANONICAL)
    return order, flips


def _kernel_norm(sigma: float) -> float:
    """Standard deviation that white noise of deviation one has after a Gaussian filter along one axis."""
    radius = int(4.0 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return float(np.linalg.norm(kernel / kernel.sum()))
