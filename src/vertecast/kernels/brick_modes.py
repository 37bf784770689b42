"""The trilinear brick in its mirror form: compiled blocks of the element, and the plain reference matrices.

A brick is invariant under its three mirror planes, so sums and differences of the corner values over each axis (the
Walsh-Hadamard transform, 8 modes for each displacement component) split the 24 x 24 stiffness into nine small blocks
with 45 non-zeros. A mode is named by its component and by three digits: ``x101`` is the part of u_x that changes sign
across x and z. With the corner sums taken without a factor, the gradient coefficients are ``a_d * mode`` with
``a_d = sqrt(V) / (4 h_d)``, which also carries the volume, and the forces of the modes are ``a_d * stress``.

The divergence of the constant mode is weighted with lambda, the higher ones with ``high``: lambda for 2 x 2 x 2 Gauss
integration, -2/3 mu for the mean-dilatation brick [1]_, whose volume strain is the element's mean.

References
----------
.. [1] Hughes, Int. J. Numer. Meth. Eng. 15 (1980) 1413, B-bar.
"""

import enum

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Integration(enum.Enum):
    """How the brick is integrated."""

    FULL = "full"
    """2 x 2 x 2 Gauss points; locks as the material becomes incompressible."""
    MEAN_DILATATION = "mean dilatation"
    """B-bar: one volume strain in each brick; free of volumetric locking."""

    @property
    def high_weights(self) -> tuple[float, float]:
        """Multiples of lambda and mu that make the stiffness of the non-constant divergence."""
        return (1.0, 0.0) if self is Integration.FULL else (0.0, -2.0 / 3.0)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def normal_block(x, y, z, a, lam, mu2):  # type: ignore[no-untyped-def]
    """Return the forces of the three constant normal strains."""
    exx, eyy, ezz = a[0] * x, a[1] * y, a[2] * z
    pressure = lam * (exx + eyy + ezz)
    return a[0] * (pressure + mu2 * exx), a[1] * (pressure + mu2 * eyy), a[2] * (pressure + mu2 * ezz)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def shear_block(u, v, au, av, mu):  # type: ignore[no-untyped-def]
    """Return the forces of one constant shear strain ``au * u + av * v``."""
    tau = mu * (au * u + av * v)
    return au * tau, av * tau


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def bending_block(u, v, au, av, aw, high3, mu3):  # type: ignore[no-untyped-def]
    """Return the forces of two normal strains that vary along the third axis w, with the shear each brings."""
    eu, ev = au * u, av * v
    pressure = high3 * (eu + ev)
    side = mu3 * aw * aw
    return au * (pressure + (mu3 + mu3) * eu) + side * u, av * (pressure + (mu3 + mu3) * ev) + side * v


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def twist_block(x, y, z, a, mu3):  # type: ignore[no-untyped-def]
    """Return the forces of the three shears that vary along their own third axis."""
    xy = mu3 * (a[1] * x + a[0] * y)
    xz = mu3 * (a[2] * x + a[0] * z)
    yz = mu3 * (a[2] * y + a[1] * z)
    return a[1] * xy + a[2] * xz, a[0] * xy + a[2] * yz, a[0] * xz + a[1] * yz


def mode_scales(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return ``sqrt(V) / (4 h)`` for each axis, mm^(1/2)."""
    edges = np.asarray(spacing, dtype=float)
    return np.asarray(np.sqrt(np.prod(edges)) / (4 * edges))


def corner_signs() -> NDArray[np.float64]:
    """Return the corners of the brick [-1, 1]^3, node 4 a + 2 b + c at bits (a, b, c); (8, 3)."""
    bits = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(8, 3)
    return np.asarray(2.0 * bits - 1.0)


def strain_matrices(spacing: tuple[float, float, float], integration: Integration) -> NDArray[np.float64]:
    """Return B at the eight Gauss points; (8, 6, 24), Voigt xx yy zz yz xz xy, column 3 * corner + component.

    The plain reference: shape functions differentiated at the points; B-bar replaces the volume strain by its mean.
    """
    signs = corner_signs()
    points = signs / np.sqrt(3.0)
    terms = 1 + points[:, None, :] * signs[None, :, :]
    matrices = np.zeros((8, 6, 8, 3))
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        slope = signs[:, axis] * np.prod(terms[:, :, others], axis=2) / (4 * spacing[axis])
        for row, component in ((axis, axis), (3 + others[0], others[1]), (3 + others[1], others[0])):
            matrices[:, row, :, component] += slope
    flat = matrices.reshape(8, 6, 24)
    if integration is Integration.MEAN_DILATATION:
        volume = flat[:, :3].sum(axis=1)
        flat[:, :3] += ((volume.mean(axis=0) - volume) / 3)[:, None, :]
    return flat


def stiffness_parts(
    spacing: tuple[float, float, float], integration: Integration
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (24, 24) matrices K_lambda and K_mu of the plain reference: K = lambda K_lambda + mu K_mu, mm."""
    strains = strain_matrices(spacing, integration)
    weight = np.prod(spacing) / 8
    volume = strains[:, :3].sum(axis=1)
    metric = np.diag([2.0, 2.0, 2.0, 1.0, 1.0, 1.0])
    return weight * np.einsum("gi,gj->ij", volume, volume), weight * np.einsum(
        "gai,ab,gbj->ij", strains, metric, strains
    )
