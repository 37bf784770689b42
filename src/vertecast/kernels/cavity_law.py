"""Foam that opens: the crushable ellipse of :mod:`foam_points` with a tension cut-off whose gaps close again.

At every point the trial strain is the carried elastic strain plus the increment. Where a principal stress would exceed
the cut-off, a gap opens across it (Rankine, all three principal directions); the gap's strain stays in the carried
strain, so it closes on the way back before the material bears again. What remains is returned to the ellipse.
"""

import math

import numpy as np
from numba import njit, prange

from vertecast.kernels.foam_points import BLOCK, effective_yield, flow_multiplier, softened

GAP = 1e-3  # share of the stiffness that an open gap keeps, so that no piece comes loose
_CRUSHED_AND_OPEN = 0.25  # share of the tangent kept where a point crushes one way and opens another
_TWO_OPEN = 0.3  # share kept where two directions are open: the third still bears


@njit(cache=True)
def principal(s, values, axes):  # type: ignore[no-untyped-def]
    """Write the principal values of the symmetric tensor ``s`` (Voigt), falling, and their axes by column."""
    a = np.empty((3, 3))
    a[0, 0], a[1, 1], a[2, 2] = s[0], s[1], s[2]
    a[1, 2] = a[2, 1] = s[3]
    a[0, 2] = a[2, 0] = s[4]
    a[0, 1] = a[1, 0] = s[5]
    for i in range(3):
        for j in range(3):
            axes[i, j] = 1.0 if i == j else 0.0
    for _ in range(12):
        off = a[0, 1] ** 2 + a[0, 2] ** 2 + a[1, 2] ** 2
        if off <= 1e-28 * (a[0, 0] ** 2 + a[1, 1] ** 2 + a[2, 2] ** 2) or off == 0.0:
            break
        for p in range(2):
            for q in range(p + 1, 3):
                if a[p, q] != 0.0:
                    _turn(a, axes, p, q)
    for i in range(3):
        values[i] = a[i, i]
    for i in range(2):
        for j in range(2 - i):
            if values[j] < values[j + 1]:
                values[j], values[j + 1] = values[j + 1], values[j]
                for k in range(3):
                    axes[k, j], axes[k, j + 1] = axes[k, j + 1], axes[k, j]


@njit(cache=True)
def _turn(a, axes, p, q):  # type: ignore[no-untyped-def]
    """Make a[p, q] zero by a Jacobi rotation."""
    theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
    t = math.copysign(1.0, theta) / (abs(theta) + math.sqrt(theta * theta + 1.0))
    c = 1.0 / math.sqrt(t * t + 1.0)
    s = t * c
    for k in range(3):
        akp, akq = a[k, p], a[k, q]
        a[k, p], a[k, q] = c * akp - s * akq, s * akp + c * akq
    for k in range(3):
        apk, aqk = a[p, k], a[q, k]
        a[p, k], a[q, k] = c * apk - s * aqk, s * apk + c * aqk
    for k in range(3):
        vkp, vkq = axes[k, p], axes[k, q]
        axes[k, p], axes[k, q] = c * vkp - s * vkq, s * vkp + c * vkq


@njit(cache=True)
def opened(e, lame, mu, tension, gap, axes):  # type: ignore[no-untyped-def]
    """Write the opening part (6) of elastic strain ``e`` into ``gap``; return how many directions open.

    ``axes`` receives the principal axes when any opens.
    """
    for i in range(6):
        gap[i] = 0.0
    if not tension < np.inf:
        return 0
    volume = e[0] + e[1] + e[2]
    s = np.empty(6)
    for i in range(3):
        s[i] = lame * volume + 2.0 * mu * e[i]
        s[3 + i] = mu * e[3 + i]
    t = np.empty(3)
    principal(s, t, axes)
    if t[0] <= tension:
        return 0
    o = np.zeros(3)
    count = 1
    o[0] = (t[0] - tension) / (lame + 2.0 * mu)
    if t[1] - lame * o[0] > tension:
        count = 2
        total = (t[0] + t[1] - 2.0 * tension) / (2.0 * lame + 2.0 * mu)
        if t[2] - lame * total > tension:
            count = 3
            total = (t[0] + t[1] + t[2] - 3.0 * tension) / (3.0 * lame + 2.0 * mu)
        for i in range(count):
            o[i] = (t[i] - tension - lame * total) / (2.0 * mu)
    for i in range(count):
        x, y, z = axes[0, i], axes[1, i], axes[2, i]
        gap[0] += o[i] * x * x
        gap[1] += o[i] * y * y
        gap[2] += o[i] * z * z
        gap[3] += 2.0 * o[i] * y * z
        gap[4] += 2.0 * o[i] * x * z
        gap[5] += 2.0 * o[i] * x * y
    return count


@njit(cache=True, inline="always")
def _split(e, gap, bulk, shear, s):  # type: ignore[no-untyped-def]
    """Write the deviatoric stress of the closed strain into ``s``; return trial sigma_e**2 and the mean stress."""
    for i in range(6):
        s[i] = e[i] - gap[i]
    volume = s[0] + s[1] + s[2]
    for i in range(3):
        s[i] = 2.0 * shear * (s[i] - volume / 3.0)
        s[3 + i] *= shear
    a = 1.5 * (s[0] ** 2 + s[1] ** 2 + s[2] ** 2) + 3.0 * (s[3] ** 2 + s[4] ** 2 + s[5] ** 2)
    return a, bulk * volume


@njit(cache=True, parallel=True)
def respond(strain, kappa, weight, material, law, stress, tangent, gaps):  # type: ignore[no-untyped-def]
    """Write weighted stress, and the weighted rank-one tangent, at the 8 points of a chunk of elements.

    ``strain`` (8, 6, n) is carried plus increment; ``material`` (4, n) lambda, mu, yield stress and cut-off; ``weight``
    (n,) is the share of each element that is material. ``gaps`` (n,) is set where one is open: there the rank-one
    tangent is a stand-in, and :mod:`cavity_gaps` has the exact one.
    """
    blocks = (weight.shape[0] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _respond_block(k * BLOCK, strain, kappa, weight, material, law, stress, tangent, gaps)


@njit(cache=True)
def _respond_block(first, strain, kappa, weight, material, law, stress, tangent, gaps):  # type: ignore[no-untyped-def]
    alpha2 = law[0] * law[0]
    c = 1.0 + alpha2 / 9.0
    s, e, gap, axes = np.empty(6), np.empty(6), np.empty(6), np.empty((3, 3))
    for q in range(8):
        for j in range(first, min(first + BLOCK, weight.shape[0])):
            part = weight[j]
            lame, shear, strength = material[0, j], material[1, j], material[2, j]
            bulk = lame + 2.0 * shear / 3.0
            for i in range(6):
                e[i] = strain[q, i, j]
            count = opened(e, lame, shear, material[3, j], gap, axes)
            a, p = _split(e, gap, bulk, shear, s)
            b = alpha2 * p * p
            y, dy, whole, dwhole = effective_yield(kappa[q, j], strength, law)
            g, a1, a2 = 0.0, 1.0, 1.0
            if a + b > c * y * y:
                b1, b2 = 3.0 * shear, bulk * alpha2
                g = flow_multiplier(a, b, b1, b2, kappa[q, j], strength, law)
                a1, a2 = 1.0 + b1 * g, 1.0 + b2 * g
                p /= a2
                for i in range(6):
                    s[i] /= a1
                a /= a1 * a1
                b /= a2 * a2
                size = math.sqrt((a + b) / c)
                y, dy, whole, dwhole = effective_yield(kappa[q, j] + c * g * size, strength, law)
            loose = GAP * whole * part
            volume = gap[0] + gap[1] + gap[2]
            for i in range(3):
                stress[q, i, j] = part * whole * (s[i] + p) + loose * (lame * volume + 2.0 * shear * gap[i])
                stress[q, 3 + i, j] = part * whole * s[3 + i] + loose * shear * gap[3 + i]
            if count > 0:
                gaps[j] = True
            share = part * whole * (1.0 if count == 0 else (_CRUSHED_AND_OPEN if g > 0.0 else 1.0))
            if g > 0.0:
                w1, w2 = 3.0 * shear / a1, bulk * alpha2 / a2
                along = w1 * a + w2 * b
                theta = softened(along, g, size, c, y, dy, whole, dwhole)
                root = math.sqrt(theta / whole * share)
                tangent[q, 0, j] = share * bulk / a2
                tangent[q, 1, j] = share * shear / a1
                for i in range(6):
                    tangent[q, 2 + i, j] = root * (w1 * s[i] + w2 * p if i < 3 else w1 * s[i])
                continue
            if count == 2:
                share *= _TWO_OPEN
            elif count == 3:
                share *= GAP
            tangent[q, 0, j] = share * bulk
            tangent[q, 1, j] = share * shear
            for i in range(6):
                tangent[q, 2 + i, j] = 0.0
            if count == 1 or count == 2:
                root = math.sqrt(share * (1.0 - GAP) / (lame + 2.0 * shear))
                x, yy, z = axes[0, 0], axes[1, 0], axes[2, 0]
                tangent[q, 2, j] = root * (lame + 2.0 * shear * x * x)
                tangent[q, 3, j] = root * (lame + 2.0 * shear * yy * yy)
                tangent[q, 4, j] = root * (lame + 2.0 * shear * z * z)
                tangent[q, 5, j] = root * 2.0 * shear * yy * z
                tangent[q, 6, j] = root * 2.0 * shear * x * z
                tangent[q, 7, j] = root * 2.0 * shear * x * yy


@njit(cache=True, parallel=True)
def advance(strain, before, kappa, weight, material, law, jam, energy):  # type: ignore[no-untyped-def]
    """Move the history in place: ``strain`` becomes the carried strain, ``kappa`` grows; write ``energy`` (2, n).

    Parameters
    ----------
    before : (8, 6, n), carried strain before the increment
    jam : share of new opening that does not close again (debris between the faces)
    energy : receives stored energy and the increment's dissipation, MPa, averaged over the weighted octants
    """
    blocks = (weight.shape[0] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _advance_block(k * BLOCK, strain, before, kappa, weight, material, law, jam, energy)


@njit(cache=True)
def _advance_block(first, strain, before, kappa, weight, material, law, jam, energy):  # type: ignore[no-untyped-def]
    alpha2 = law[0] * law[0]
    c = 1.0 + alpha2 / 9.0
    s, e, old = np.empty(6), np.empty(6), np.empty(6)
    gap, was, axes = np.empty(6), np.empty(6), np.empty((3, 3))
    last = min(first + BLOCK, weight.shape[0])
    energy[:, first:last] = 0.0
    for q in range(8):
        for j in range(first, last):
            lame, shear, strength = material[0, j], material[1, j], material[2, j]
            bulk = lame + 2.0 * shear / 3.0
            part = 0.125 * weight[j]
            for i in range(6):
                e[i] = strain[q, i, j]
                old[i] = before[q, i, j]
            count = opened(e, lame, shear, material[3, j], gap, axes)
            a, p = _split(e, gap, bulk, shear, s)
            b = alpha2 * p * p
            y, _, whole, _ = effective_yield(kappa[q, j], strength, law)
            if a + b > c * y * y:
                b1, b2 = 3.0 * shear, bulk * alpha2
                g = flow_multiplier(a, b, b1, b2, kappa[q, j], strength, law)
                a1, a2 = 1.0 + b1 * g, 1.0 + b2 * g
                p /= a2
                a /= a1 * a1
                b /= a2 * a2
                for i in range(6):
                    s[i] /= a1
                    flow = 1.5 * s[i] + alpha2 * p / 3.0 if i < 3 else 3.0 * s[i]
                    strain[q, i, j] -= g * flow
                more = c * g * math.sqrt((a + b) / c)
                previous = whole
                _, _, whole, _ = effective_yield(kappa[q, j] + more, strength, law)
                kappa[q, j] += more
                elastic = a / (6.0 * shear) + p * p / (2.0 * bulk)
                energy[1, j] += part * (whole * g * (a + b) + (previous - whole) * elastic)
            energy[0, j] += part * whole * (a / (6.0 * shear) + p * p / (2.0 * bulk))
            if count > 0:
                volume, work, tightness = gap[0] + gap[1] + gap[2], 0.0, 0.0
                for i in range(3):
                    work += (s[i] + p) * gap[i] + s[3 + i] * gap[3 + i]
                    tightness += shear * (gap[i] ** 2 + 0.5 * gap[3 + i] ** 2)
                energy[0, j] += part * whole * (work + GAP * (0.5 * lame * volume**2 + tightness))
                if jam > 0.0:
                    opened(old, lame, shear, material[3, j], was, axes)
                    if volume > was[0] + was[1] + was[2]:
                        for i in range(6):
                            strain[q, i, j] -= jam * (gap[i] - was[i])


@njit(cache=True, parallel=True)
def parted(strain, material, stress, gap):  # type: ignore[no-untyped-def]
    """Write stress and gap (8, 6, n) of a carried strain: the inverse of :meth:`cavity_slots.Carried.strain`."""
    blocks = (stress.shape[2] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _parted_block(k * BLOCK, strain, material, stress, gap)


@njit(cache=True)
def _parted_block(first, strain, material, stress, gap):  # type: ignore[no-untyped-def]
    e, g, axes = np.empty(6), np.empty(6), np.empty((3, 3))
    for q in range(8):
        for j in range(first, min(first + BLOCK, stress.shape[2])):
            lame, mu = material[0, j], material[1, j]
            for i in range(6):
                e[i] = strain[q, i, j]
            opened(e, lame, mu, material[3, j], g, axes)
            volume = e[0] + e[1] + e[2] - g[0] - g[1] - g[2]
            for i in range(3):
                gap[q, i, j], gap[q, 3 + i, j] = g[i], g[3 + i]
                stress[q, i, j] = lame * volume + 2.0 * mu * (e[i] - g[i])
                stress[q, 3 + i, j] = mu * (e[3 + i] - g[3 + i])
