"""A smooth height field through the faces of a voxel mask, with its covariance.

Every pair of an inner and an outer voxel centre encloses the surface, along the axis that joins them and to half a
voxel either way. A face across the surface's slope is thus a contour line known far better than the slice spacing,
which is what makes thick slices measurable; faces along the normal fill what lies between. Both go into one fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.interpolate import BSpline

_DEGREE = 3
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True, eq=False)
class Faces:
    """Boundary faces of a mask in a vertebral frame.

    Parameters
    ----------
    points : (n, 3), mm, face centres
    normals : (n, 3), unit, outward: a grid axis, in the frame
    steps : (n,), mm, voxel edge along that axis
    columns : (3, 3), mm: column ``a`` is the step of one voxel along grid axis ``a``, in the frame
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    steps: NDArray[np.float64]
    columns: NDArray[np.float64]

    def chosen(self, keep: NDArray[np.bool_]) -> "Faces":
        """Return the faces where ``keep`` holds."""
        return Faces(self.points[keep], self.normals[keep], self.steps[keep], self.columns)

    def staircase(self, normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height, mm, of the steps that voxels make on a surface with ``normals`` (n, 3) scaled to z = 1."""
        return np.asarray(np.abs(normals @ self.columns).max(axis=-1))


@dataclass(frozen=True, eq=False)
class HeightField:
    """``z = f(x, y)`` as a tensor cubic spline, in a vertebral frame, mm.

    Parameters
    ----------
    knots_x, knots_y : knot vectors
    coefficients : (kx, ky)
    factor : (kx·ky, kx·ky), 1/mm, lower Cholesky factor of the normal matrix, the inverse of the covariance
    residual : mm, weighted root mean square of the samples about the field
    samples : number of faces it rests on
    """

    knots_x: NDArray[np.float64]
    knots_y: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    factor: NDArray[np.float64]
    residual: float
    samples: int

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height, mm, at points of any one shape; outside the knots the border value is held."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        rows = self.rows(x.ravel(), y.ravel())
        return np.asarray((rows @ self.coefficients.ravel()).reshape(x.shape))

    def gradient(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slopes along x and y."""
        step = 0.25
        along_x = (self.at(x + step, y) - self.at(x - step, y)) / (2 * step)
        along_y = (self.at(x, y + step) - self.at(x, y - step)) / (2 * step)
        return along_x, along_y

    def deviation(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviation of the fitted height, mm."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        rows = self.rows(x.ravel(), y.ravel())
        halves = linalg.solve_triangular(self.factor, rows.T, lower=True)
        return np.asarray(np.linalg.norm(halves, axis=0).reshape(x.shape))

    def bending(self) -> NDArray[np.float64]:
        """(kx·ky, kx·ky): quadratic form of the bending energy ∫ f_xx² + 2 f_xy² + f_yy² in the coefficients."""
        return _bending(self.knots_x, self.knots_y)

    def rows(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, kx·ky): weight of every coefficient in the height at points (n,)."""
        return _tensor(_basis(x, self.knots_x), _basis(y, self.knots_y))


def mask_faces(mask: NDArray[np.bool_], solid: NDArray[np.bool_], vert_from_voxel: NDArray[np.float64]) -> Faces:
    """List the faces between ``mask`` and what is outside ``solid``, in the frame.

    Parameters
    ----------
    mask : (nx, ny, nz), the body
    solid : (nx, ny, nz), the whole vertebra; a face between body and arch is no surface
    vert_from_voxel : (4, 4)
    """
    points, normals, steps = [], [], []
    columns = vert_from_voxel[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    for axis in range(3):
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        first, second = tuple(lower), tuple(upper)
        offset = np.zeros(3)
        offset[axis] = 0.5
        for sign, hits in ((1.0, mask[first] & ~solid[second]), (-1.0, mask[second] & ~solid[first])):
            index = np.argwhere(hits) + offset
            points.append(index @ columns.T + vert_from_voxel[:3, 3])
            normals.append(np.tile(sign * columns[:, axis] / spacing[axis], (len(index), 1)))
            steps.append(np.full(len(index), spacing[axis]))
    return Faces(np.concatenate(points), np.concatenate(normals), np.concatenate(steps), columns)


def fit_height_field(
    points: NDArray[np.float64], deviations: NDArray[np.float64], *, knot_step: float, smoothing: float
) -> HeightField:
    """Fit a height field with a bending penalty.

    Parameters
    ----------
    points : (n, 3), mm
    deviations : (n,), mm, standard deviation of each point's height
    knot_step : mm between knots
    smoothing : mm
        Length ℓ: a wave of wavelength 2πℓ keeps half of its height, whatever the sampling and the noise.

    Notes
    -----
    Minimises Σ w (z − f)² + λ∫(f_xx² + 2 f_xy² + f_yy²) with λ = ℓ⁴ · (information per area).
    """
    knots_x, knots_y = (_knots(points[:, axis], knot_step) for axis in (0, 1))
    rows = _tensor(_basis(points[:, 0], knots_x), _basis(points[:, 1], knots_y))
    weight = 1.0 / deviations**2
    middle = 0.5 * (points[:, :2].min(axis=0) + points[:, :2].max(axis=0))
    cells = np.unique(np.rint((points[:, :2] - middle) / 2.0).astype(int), axis=0)
    information = float(weight.sum()) / max(4.0 * len(cells), 1.0)
    penalty = _bending(knots_x, knots_y) * (smoothing**4 * information)
    weighted = rows * weight[:, None]
    normal = weighted.T @ rows + penalty
    normal[np.diag_indices_from(normal)] += 1e-9 * float(np.trace(normal)) / len(normal)
    factor = linalg.cholesky(normal, lower=True)
    coefficients = linalg.cho_solve((factor, True), weighted.T @ points[:, 2])
    rest = points[:, 2] - rows @ coefficients
    residual = float(np.sqrt((weight * rest**2).sum() / weight.sum()))
    shape = (len(knots_x) - _DEGREE - 1, len(knots_y) - _DEGREE - 1)
    return HeightField(knots_x, knots_y, coefficients.reshape(shape), factor, residual, len(points))


def _knots(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Uniform knots centred on the data, so that a mirrored sample gives mirrored knots."""
    low, high = float(values.min()), float(values.max())
    middle = 0.5 * (low + high)
    cells = max(int(np.ceil((high - low) / step - 1e-6)), 2)
    return np.asarray(middle + step * (np.arange(cells + 1 + 2 * _DEGREE) - _DEGREE - 0.5 * cells))


def _basis(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k): uniform cubic B-splines, by their four pieces; beyond the inner range the border value is held."""
    step = knots[1] - knots[0]
    cells = len(knots) - 2 * _DEGREE - 1
    at = np.clip((values - knots[_DEGREE]) / step, 0.0, cells - 1e-9)
    cell = at.astype(np.intp)
    u = at - cell
    pieces = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    rows = np.zeros((len(values), len(knots) - _DEGREE - 1))
    line = np.arange(len(values))
    for shift, piece in enumerate(pieces):
        rows[line, cell + shift] = piece / 6.0
    return rows


def _tensor(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((first[:, :, None] * second[:, None, :]).reshape(len(first), -1))


def _bending(knots_x: NDArray[np.float64], knots_y: NDArray[np.float64]) -> NDArray[np.float64]:
    grams_x = [_gram(knots_x, order) for order in range(3)]
    grams_y = [_gram(knots_y, order) for order in range(3)]
    return np.asarray(
        np.kron(grams_x[2], grams_y[0]) + 2.0 * np.kron(grams_x[1], grams_y[1]) + np.kron(grams_x[0], grams_y[2])
    )


def _gram(knots: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """∫ B_i⁽ᵒ⁾ B_j⁽ᵒ⁾ over the knots' inner range, by Gauss points in every cell (exact for cubics)."""
    edges = knots[_DEGREE : -_DEGREE or None]
    half = 0.5 * np.diff(edges)
    at = (0.5 * (edges[1:] + edges[:-1])[:, None] + half[:, None] * _NODES).ravel()
    weight = (half[:, None] * _WEIGHTS).ravel()
    count = len(knots) - _DEGREE - 1
    values = BSpline(knots, np.eye(count), _DEGREE)(at, nu=order)
    return np.asarray(values.T @ (values * weight[:, None]))
