"""What the compiled projector must agree with, in plain NumPy and double precision; far too slow for pictures."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.kernels.project import Cone

_GAUSS = 0.5 / np.sqrt(3.0)
_RAYS_AT_ONCE = 256


def exact_integrals(field: NDArray[np.floating], cone: Cone, pixels: ArrayLike) -> NDArray[np.float64]:
    """Integrate the trilinear interpolant exactly along the rays to some pixels.

    Between two crossings of planes through voxel centres the interpolant is a cubic along the ray, for which two Gauss
    points are exact. Outside the array the field is zero, reached linearly over one voxel.

    Parameters
    ----------
    field : (nx, ny, nz)
    cone : the rays
    pixels : (n, 2), column and row

    Returns
    -------
    (n,), field unit times mm
    """
    padded = np.pad(np.asarray(field, float), 1)
    wanted = np.asarray(pixels, float)
    directions = cone.corner + wanted[:, :1] * cone.per_column + wanted[:, 1:] * cone.per_row - cone.source
    parts = [
        _integrate(padded, cone.source + 1.0, directions[i : i + _RAYS_AT_ONCE], cone.spacing)
        for i in range(0, len(directions), _RAYS_AT_ONCE)
    ]
    return np.concatenate(parts)


def beer_lambert_plain(
    paths: NDArray[np.floating], attenuation: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Sum over bins the weights times exp(-attenuation . paths): (2, rows, columns)."""
    through = np.exp(-np.einsum("mk,mvu->kvu", attenuation.astype(float), paths.astype(float)))
    return np.asarray(np.einsum("sk,kvu->svu", weights.astype(float), through))


def _integrate(
    padded: NDArray[np.float64],
    source: NDArray[np.float64],
    directions: NDArray[np.float64],
    spacing: NDArray[np.float64],
) -> NDArray[np.float64]:
    crossings = []
    for axis in range(3):
        planes = np.arange(padded.shape[axis])
        along = np.where(np.abs(directions[:, axis]) < 1e-12, np.nan, directions[:, axis])
        crossings.append((planes[None, :] - source[axis]) / along[:, None])
    times = np.concatenate(crossings, axis=1)
    times = np.sort(np.clip(np.nan_to_num(times, nan=0.0), 0.0, 2.0), axis=1)
    middle, length = (times[:, 1:] + times[:, :-1]) / 2, np.diff(times, axis=1)
    total = np.zeros(len(directions))
    for offset in (-_GAUSS, _GAUSS):
        at = middle + offset * length
        points = source + at[..., None] * directions[:, None, :]
        total += (0.5 * length * _trilinear(padded, points)).sum(axis=1)
    return np.asarray(total * np.linalg.norm(directions * spacing, axis=1))


def _trilinear(padded: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    top = np.array(padded.shape) - 1
    inside = ((points >= 0) & (points <= top)).all(axis=-1)
    low = np.clip(np.floor(points).astype(int), 0, top - 1)
    part = points - low
    value = np.zeros(points.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, part, 1.0 - part), axis=-1)
        index = low + np.array(corner)
        value += weight * padded[index[..., 0], index[..., 1], index[..., 2]]
    return np.where(inside, value, 0.0)
