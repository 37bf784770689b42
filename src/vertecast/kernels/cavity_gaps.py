"""The exact tangent where gaps are open: full at every point of the few elements that have one, rank-one elsewhere.

The law is isotropic, so its tangent is that of three principal stresses to three principal strains, and a shear
modulus for each pair of axes that keeps stress and strain coaxial.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.cavity_law import GAP, principal
from vertecast.kernels.cavity_nearest import nearest
from vertecast.kernels.gauss import GaussPasses, RankOneTangent

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GapTangent:
    """Rank-one tangent of the body, and the full one of its elements with gaps.

    Parameters
    ----------
    base : of all elements; zero in those with gaps
    passes : of the elements with gaps alone, on the same nodes
    values : (8, 21, m), MPa, upper triangle by rows
    """

    base: RankOneTangent
    passes: GaussPasses
    values: Array

    @property
    def mesh(self) -> BrickMesh:
        """The bricks of the whole body."""
        return self.base.mesh

    def apply(self, x: Array, out: Array) -> None:
        """Write K x into ``out``; both flat."""
        self.base.apply(x, out)
        nodal = (3, *self.mesh.node_shape)
        strain = self.passes.strain(x.reshape(nodal))
        multiply(self.values, strain)
        self.passes.force(strain, out=out.reshape(nodal))


def gap_tangent(
    base: RankOneTangent,
    gaps: NDArray[np.intp],
    strain: Array,
    kappa: Array,
    weight: Array,
    material: Array,
    law: Array,
) -> GapTangent:
    """Take the elements ``gaps`` out of ``base`` and give them the full tangent at ``strain`` (8, 6, m)."""
    values = np.empty((8, 21, gaps.size))
    full_tangent(strain, kappa, weight, material, law, values)
    base.values[:, :, gaps] = 0.0
    mask = np.zeros(base.mesh.mask.size, dtype=bool)
    mask[np.flatnonzero(base.mesh.mask)[gaps]] = True
    mesh = BrickMesh.from_mask(mask.reshape(base.mesh.mask.shape), base.mesh.spacing)
    return GapTangent(base, GaussPasses(mesh, Integration.MEAN_DILATATION), values)


@njit(cache=True, parallel=True)
def multiply(values: Any, strain: Any) -> None:
    """Replace strains (8, 6, m) by stresses, in place."""
    for j in prange(strain.shape[2]):
        e = np.empty(6)
        s = np.empty(6)
        for q in range(8):
            for i in range(6):
                e[i] = strain[q, i, j]
                s[i] = 0.0
            at = 0
            for i in range(6):
                s[i] += values[q, at, j] * e[i]
                at += 1
                for k in range(i + 1, 6):
                    s[i] += values[q, at, j] * e[k]
                    s[k] += values[q, at, j] * e[i]
                    at += 1
            for i in range(6):
                strain[q, i, j] = s[i]


@njit(cache=True)
def principal_stress(e, lame, mu, strength, tension, kappa, law, out):  # type: ignore[no-untyped-def]
    """Write the principal stresses of principal strains ``e`` (3,), axis by axis."""
    o = np.empty(3)
    nearest(e, lame, mu, strength, tension, kappa, law, out, o)
    opening = o[0] + o[1] + o[2]
    for i in range(3):
        out[i] += GAP * (lame * opening + 2.0 * mu * o[i])


@njit(cache=True, parallel=True)
def full_tangent(strain, kappa, weight, material, law, values):  # type: ignore[no-untyped-def]
    """Write the tangent (8, 21, m) of elements at their total strains (8, 6, m)."""
    for j in prange(strain.shape[2]):
        e6, e, axes = np.empty(6), np.empty(3), np.empty((3, 3))
        s, near, d = np.empty(3), np.empty(3), np.empty((3, 3))
        m, shear = np.empty((6, 6)), np.empty(3)
        lame, mu, strength, tension = material[0, j], material[1, j], material[2, j], material[3, j]
        for q in range(8):
            for i in range(3):
                e6[i] = strain[q, i, j]
                e6[3 + i] = 0.5 * strain[q, 3 + i, j]
            principal(e6, e, axes)
            principal_stress(e, lame, mu, strength, tension, kappa[q, j], law, s)
            step = 1e-6 * max(abs(e[0]), abs(e[2]), 1e-3)
            for b in range(3):
                e[b] += step
                principal_stress(e, lame, mu, strength, tension, kappa[q, j], law, near)
                e[b] -= step
                for a in range(3):
                    d[a, b] = (near[a] - s[a]) / step
            _directions(axes, m)
            for pair in range(3):
                a, b = (pair + 1) % 3, (pair + 2) % 3
                if abs(e[a] - e[b]) > 10.0 * step:
                    shear[pair] = 0.5 * (s[a] - s[b]) / (e[a] - e[b])
                else:
                    shear[pair] = 0.25 * (d[a, a] + d[b, b] - d[a, b] - d[b, a])
                shear[pair] = max(shear[pair], GAP * mu)
            _made_positive(d, GAP * mu)
            at = 0
            for i in range(6):
                for k in range(i, 6):
                    total = 0.0
                    for a in range(3):
                        for b in range(3):
                            total += 0.5 * (d[a, b] + d[b, a]) * m[a, i] * m[b, k]
                        total += 4.0 * shear[a] * m[3 + a, i] * m[3 + a, k]
                    values[q, at, j] = weight[j] * total
                    at += 1


@njit(cache=True)
def _made_positive(d, least):  # type: ignore[no-untyped-def]
    """Make a 3 x 3 matrix symmetric, and no eigenvalue of it less than ``least``: crush and gap can break both."""
    s, values, axes = np.empty(6), np.empty(3), np.empty((3, 3))
    for i in range(3):
        k, n = (i + 1) % 3, (i + 2) % 3
        s[i] = d[i, i]
        s[3 + i] = 0.5 * (d[k, n] + d[n, k])
    principal(s, values, axes)
    for a in range(3):
        for b in range(3):
            d[a, b] = 0.0
            for i in range(3):
                d[a, b] += max(values[i], least) * axes[a, i] * axes[b, i]


@njit(cache=True)
def _directions(axes, m):  # type: ignore[no-untyped-def]
    """Write the tensors n_a n_a, and the symmetric n_b n_c of each pair, in Voigt order without factors."""
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(3):
            k, n = (i + 1) % 3, (i + 2) % 3
            m[a, i] = axes[i, a] * axes[i, a]
            m[a, 3 + i] = axes[k, a] * axes[n, a]
            m[3 + a, i] = axes[i, b] * axes[i, c]
            m[3 + a, 3 + i] = 0.5 * (axes[k, b] * axes[n, c] + axes[n, b] * axes[k, c])
