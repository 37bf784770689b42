"""The exact tangent where gaps are open: full at every point of the few elements that have one, rank-one elsewhere.

The law is isotropic, so its tangent is that of three principal stresses to three principal strains, and a shear
modulus for each pair of axes that keeps stress and strain coaxial.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.cavity_law import principal_in
from vertecast.kernels.cavity_nearest import nearest_in, nearest_tangent
from vertecast.kernels.gauss import GaussPasses, RankOneTangent

Array = NDArray[np.float64]
_BLOCK = 64  # elements one thread takes at a time; each is independent


@dataclass(frozen=True, eq=False)
class GapTangent:
    """Rank-one tangent of the body, and the full one of its elements with gaps.

    Parameters
    ----------
    base : of all elements; zero in those with gaps
    passes : of the elements with gaps alone, on the same nodes
    values : (8, 21, m) float32, MPa, upper triangle by rows
    """

    base: RankOneTangent
    passes: GaussPasses
    values: NDArray[np.float32]

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
    base: RankOneTangent, opens: NDArray[np.bool_], strain: Array, kappa: Array, material: Array, law: Array
) -> GapTangent:
    """Take the elements with an open point (``opens``: (8, n)) out of ``base`` and give them the full tangent.

    ``strain`` (8, 6, m), ``kappa`` (8, m) and ``material`` (5, m), its last row the share of the element that is
    material, are those of these elements alone.
    """
    gaps = np.flatnonzero(opens.any(axis=0))
    values = np.empty((8, 21, gaps.size), np.float32)
    rank_one = np.ascontiguousarray(base.values[:, :, gaps])
    full_tangent(strain, np.ascontiguousarray(opens[:, gaps]), rank_one, kappa, material, law, values)
    base.values[:, :, gaps] = 0.0
    mask = np.zeros(base.mesh.mask.size, dtype=bool)
    mask[np.flatnonzero(base.mesh.mask)[gaps]] = True
    mesh = BrickMesh.from_mask(mask.reshape(base.mesh.mask.shape), base.mesh.spacing)
    return GapTangent(base, GaussPasses(mesh, Integration.MEAN_DILATATION), values)


@njit(cache=True, parallel=True)
def multiply(values, strain):  # type: ignore[no-untyped-def]
    """Replace strains (8, 6, m) by stresses, in place."""
    count = strain.shape[2]
    for k in prange((count + _BLOCK - 1) // _BLOCK):
        _multiply_block(values, strain, k * _BLOCK, min(_BLOCK, count - k * _BLOCK))


@njit(cache=True)
def _multiply_block(values, strain, first, count):  # type: ignore[no-untyped-def]
    e, s = np.empty((6, _BLOCK)), np.empty((6, _BLOCK))
    for q in range(8):
        s[:] = 0.0
        for i in range(6):
            e[i, :count] = strain[q, i, first : first + count]
        at = 0
        for i in range(6):
            for k in range(i, 6):
                c = values[q, at, first : first + count]
                at += 1
                for j in range(count):
                    s[i, j] += c[j] * e[k, j]
                if k > i:
                    for j in range(count):
                        s[k, j] += c[j] * e[i, j]
        for i in range(6):
            strain[q, i, first : first + count] = s[i, :count]


@njit(cache=True, parallel=True)
def full_tangent(strain, opens, rank_one, kappa, material, law, values):  # type: ignore[no-untyped-def]
    """Write the tangent (8, 21, m) of elements at their total strains (8, 6, m); see :func:`gap_tangent`."""
    count = strain.shape[2]
    for k in prange((count + _BLOCK - 1) // _BLOCK):
        room = np.empty((6, 6)), np.empty(6), np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty((8, 3))
        for j in range(k * _BLOCK, min((k + 1) * _BLOCK, count)):
            for q in range(8):
                if opens[q, j]:
                    _open_point(strain[q, :, j], kappa[q, j], material[:, j], law, room, values[q, :, j])
                else:
                    _closed_point(rank_one[q, :, j], values[q, :, j])


@njit(cache=True)
def _closed_point(rank_one, out):  # type: ignore[no-untyped-def]
    """Write khat 1x1 + 2 ghat Idev - w x w."""
    bulk, shear = rank_one[0], rank_one[1]
    at = 0
    for i in range(6):
        for k in range(i, 6):
            out[at] = -rank_one[2 + i] * rank_one[2 + k]
            if k < 3:
                out[at] += bulk - shear / 1.5
            if i == k:
                out[at] += 2.0 * shear if i < 3 else shear
            at += 1


@njit(cache=True)
def _open_point(strain, kappa, material, law, room, out):  # type: ignore[no-untyped-def]
    m, e6, axes, d, w, lines = room
    e, s, o, shear = lines[0], lines[1], lines[2], lines[3]
    lame, mu, part, drag = material[0], material[1], material[4], law[7]
    for i in range(3):
        e6[i], e6[3 + i] = strain[i], 0.5 * strain[3 + i]
    principal_in(e6, e, axes, d)
    g, held = nearest_in(e, lame, mu, material[2], material[3], kappa, law, s, o, lines[4:])
    nearest_tangent(s, g, held, lame, mu, material[2], kappa, law, d, w)
    opening = o[0] + o[1] + o[2]
    for i in range(3):
        s[i] += drag * (lame * opening + 2.0 * mu * o[i])
    _dragged(d, w, drag * lame, drag * mu)
    for pair in range(3):
        a, b = (pair + 1) % 3, (pair + 2) % 3
        apart = e[a] - e[b]
        if abs(apart) > 1e-5 * max(abs(e[0]), abs(e[2]), 1e-6):
            shear[pair] = 0.5 * (s[a] - s[b]) / apart
        else:
            shear[pair] = 0.25 * (d[a, a] + d[b, b] - d[a, b] - d[b, a])
        shear[pair] = max(shear[pair], drag * mu)
    _directions(axes, m)
    at = 0
    for i in range(6):
        for k in range(i, 6):
            total = 0.0
            for a in range(3):
                for b in range(3):
                    total += d[a, b] * m[a, i] * m[b, k]
                total += 4.0 * shear[a] * m[3 + a, i] * m[3 + a, k]
            out[at] = part * total
            at += 1


@njit(cache=True)
def _dragged(d, w, lame, mu):  # type: ignore[no-untyped-def]
    """Add w^T D w to ``d``, D the drag's elasticity: where nothing crushes w is a projection and this is exact."""
    for a in range(3):
        for b in range(3):
            column_a, column_b, total = 0.0, 0.0, 0.0
            for k in range(3):
                column_a += w[k, a]
                column_b += w[k, b]
                total += 2.0 * mu * w[k, a] * w[k, b]
            d[a, b] += lame * column_a * column_b + total


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
