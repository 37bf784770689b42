"""Compiled return mapping of the foam ellipse at Gauss points; :mod:`vertecast.kernels.foam` says what it solves.

Law constants travel as one float64 vector ``law`` (:meth:`vertecast.kernels.foam_law.FoamLaw.packed`):
alpha, hardening, onset, strength loss, its scale, stiffness loss, its scale.
"""

import math

import numpy as np
from numba import njit, prange

BLOCK = 256  # elements one thread takes at a time; every element is independent, so results do not depend on it
_NEVER_SOFTER = (
    1.0 - 1e-5
)  # keeps the float32 tangent positive semidefinite where the law is perfectly plastic or softens


@njit(cache=True, inline="always")
def effective_yield(kappa, strength, law):  # type: ignore[no-untyped-def]
    """Return the yield stress in effective stress, its slope in ``kappa``, the integrity 1 - D and dD/dkappa."""
    grow = 1.0 + law[1] * kappa
    past = kappa - law[2]
    if past <= 0.0 or (law[3] == 0.0 and law[5] == 0.0):
        return strength * grow, strength * law[1], 1.0, 0.0
    e_d = math.exp(-past / law[4])
    e_s = math.exp(-past / law[6])
    left = 1.0 - law[3] * (1.0 - e_d)
    whole = 1.0 - law[5] * (1.0 - e_s)
    dleft = -law[3] * e_d / law[4]
    dwhole = -law[5] * e_s / law[6]
    y = strength * grow * left / whole
    dy = strength * (law[1] * left / whole + grow * (dleft * whole - left * dwhole) / (whole * whole))
    return y, dy, whole, -dwhole


@njit(cache=True)
def flow_multiplier(a, b, b1, b2, kappa, strength, law):  # type: ignore[no-untyped-def]
    """Solve for the flow multiplier g of one point whose trial stress lies outside the ellipse.

    ``a`` and ``b`` are the trial sigma_e**2 and alpha**2 * sigma_m**2; they shrink by (1 + b1 g)**2 and (1 + b2 g)**2.
    Newton on 1/size - 1/yield, which is concave in g for perfect plasticity, so it climbs to the root from below; a
    bracket guards it where the yield stress changes with ``kappa``.
    """
    c = 1.0 + law[0] * law[0] / 9.0
    low, high, g = 0.0, np.inf, 0.0
    for _ in range(80):
        a1 = 1.0 + b1 * g
        a2 = 1.0 + b2 * g
        size2 = (a / (a1 * a1) + b / (a2 * a2)) / c
        size = math.sqrt(size2)
        slope = -(a * b1 / (a1 * a1 * a1) + b * b2 / (a2 * a2 * a2)) / (c * size)
        y, dy, _, _ = effective_yield(kappa + c * g * size, strength, law)
        miss = 1.0 / size - 1.0 / y
        if miss == 0.0:
            break
        if miss < 0.0:
            low = g
        else:
            high = g
        rate = -slope / size2 + dy / (y * y) * c * (size + g * slope)
        step = -miss / rate if rate > 0.0 else np.inf
        new = g + step
        if not (low < new < high):
            new = 0.5 * (low + high) if high < np.inf else max(2.0 * low, 1.0 / max(b1, b2))
        if abs(new - g) <= 1e-15 * new:
            g = new
            break
        g = new
    return g


@njit(cache=True, parallel=True)
def update_points(strain, plastic, kappa, lame, mu, strength, law, stress, tangent, want_tangent):  # type: ignore[no-untyped-def]
    """Return stress, and the rank-one tangent where wanted, at the 8 Gauss points of a chunk of elements.

    The history (``plastic``, ``kappa``) is that of the last equilibrium and is not changed: see :func:`advance_points`.
    """
    blocks = (lame.shape[0] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _update_block(k * BLOCK, strain, plastic, kappa, lame, mu, strength, law, stress, tangent, want_tangent)


@njit(cache=True)
def _update_block(first, strain, plastic, kappa, lame, mu, strength, law, stress, tangent, want_tangent):  # type: ignore[no-untyped-def]
    alpha2 = law[0] * law[0]
    c = 1.0 + alpha2 / 9.0
    s = np.empty(6)
    for q in range(8):
        for j in range(first, min(first + BLOCK, lame.shape[0])):
            bulk, shear = lame[j] + 2.0 * mu[j] / 3.0, mu[j]
            a, p = _trial(strain, plastic, q, j, bulk, shear, s)
            b = alpha2 * p * p
            y, _, whole, _ = effective_yield(kappa[q, j], strength[j], law)
            if a + b <= c * y * y:
                for i in range(6):
                    stress[q, i, j] = whole * (s[i] + p if i < 3 else s[i])
                if want_tangent:
                    tangent[q, 0, j] = whole * bulk
                    tangent[q, 1, j] = whole * shear
                    for i in range(6):
                        tangent[q, 2 + i, j] = 0.0
                continue
            b1, b2 = 3.0 * shear, bulk * alpha2
            g = flow_multiplier(a, b, b1, b2, kappa[q, j], strength[j], law)
            a1, a2 = 1.0 + b1 * g, 1.0 + b2 * g
            p /= a2
            for i in range(6):
                s[i] /= a1
            a /= a1 * a1
            b /= a2 * a2
            size = math.sqrt((a + b) / c)
            y, dy, whole, dwhole = effective_yield(kappa[q, j] + c * g * size, strength[j], law)
            for i in range(6):
                stress[q, i, j] = whole * (s[i] + p if i < 3 else s[i])
            if want_tangent:
                w1, w2 = b1 / a1, b2 / a2
                along = w1 * a + w2 * b
                theta = softened(along, g, size, c, y, dy, whole, dwhole)
                root = math.sqrt(theta)
                tangent[q, 0, j] = whole * bulk / a2
                tangent[q, 1, j] = whole * shear / a1
                for i in range(6):
                    tangent[q, 2 + i, j] = root * (w1 * s[i] + w2 * p if i < 3 else w1 * s[i])


@njit(cache=True, inline="always")
def softened(along, g, size, c, y, dy, whole, dwhole):  # type: ignore[no-untyped-def]
    """Return the factor of the rank-one part: exact without stiffness damage, never making the tangent indefinite."""
    beta = c * size * dy / (1.0 - c * g * dy)
    den = along + c * size * beta
    theta = whole / den + dwhole * (c * size + c * g * beta) / den * c * size * size / along
    limit = _NEVER_SOFTER * whole / along
    return theta if 0.0 < theta < limit else limit


@njit(cache=True, parallel=True)
def advance_points(strain, plastic, kappa, lame, mu, strength, law, stored, dissipated):  # type: ignore[no-untyped-def]
    """Move the history to ``strain`` in place; write stored energy and the step's dissipation of each element.

    Both energies are densities averaged over the element's points, MPa (mJ/mm³).
    """
    blocks = (lame.shape[0] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _advance_block(k * BLOCK, strain, plastic, kappa, lame, mu, strength, law, stored, dissipated)


@njit(cache=True)
def _advance_block(first, strain, plastic, kappa, lame, mu, strength, law, stored, dissipated):  # type: ignore[no-untyped-def]
    alpha2 = law[0] * law[0]
    c = 1.0 + alpha2 / 9.0
    s = np.empty(6)
    last = min(first + BLOCK, lame.shape[0])
    stored[first:last] = 0.0
    dissipated[first:last] = 0.0
    for q in range(8):
        for j in range(first, last):
            bulk, shear = lame[j] + 2.0 * mu[j] / 3.0, mu[j]
            a, p = _trial(strain, plastic, q, j, bulk, shear, s)
            b = alpha2 * p * p
            y, _, whole, _ = effective_yield(kappa[q, j], strength[j], law)
            if a + b > c * y * y:
                b1, b2 = 3.0 * shear, bulk * alpha2
                g = flow_multiplier(a, b, b1, b2, kappa[q, j], strength[j], law)
                a1, a2 = 1.0 + b1 * g, 1.0 + b2 * g
                p /= a2
                a /= a1 * a1
                b /= a2 * a2
                for i in range(6):
                    s[i] /= a1
                    flow = 1.5 * s[i] + alpha2 * p / 3.0 if i < 3 else 3.0 * s[i]
                    plastic[q, i, j] += g * flow
                more = c * g * math.sqrt((a + b) / c)
                before = whole
                _, _, whole, _ = effective_yield(kappa[q, j] + more, strength[j], law)
                kappa[q, j] += more
                elastic = a / (6.0 * shear) + p * p / (2.0 * bulk)
                dissipated[j] += 0.125 * (whole * g * (a + b) + (before - whole) * elastic)
            stored[j] += 0.125 * whole * (a / (6.0 * shear) + p * p / (2.0 * bulk))


@njit(cache=True, inline="always")
def _trial(strain, plastic, q, j, bulk, shear, s):  # type: ignore[no-untyped-def]
    for i in range(6):
        s[i] = strain[q, i, j] - plastic[q, i, j]
    volume = s[0] + s[1] + s[2]
    for i in range(3):
        s[i] = 2.0 * shear * (s[i] - volume / 3.0)
    for i in range(3, 6):
        s[i] *= shear
    a = 1.5 * (s[0] ** 2 + s[1] ** 2 + s[2] ** 2) + 3.0 * (s[3] ** 2 + s[4] ** 2 + s[5] ** 2)
    return a, bulk * volume
