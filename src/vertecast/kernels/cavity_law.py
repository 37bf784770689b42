"""Foam that opens: the crushable ellipse of :mod:`foam_points` with a tension cut-off whose gaps close again.

At every point the trial strain is the carried elastic strain plus the increment. Its stress is brought back to the
nearest one (in energy) that the ellipse and the cut-off allow: crush across the ellipse, gaps across the principal
directions at the cut-off (Rankine), or both at once. The nearest point of a convex set has a symmetric tangent that is
never negative, which Newton's method lives on. The gap's strain stays in the carried strain, so it closes on the way
back before the material bears again.
"""

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from vertecast.kernels.cavity_nearest import nearest_in
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_points import BLOCK, effective_yield, flow_multiplier, softened

GAP = 1e-2
"""Share of the stiffness with which an open gap resists change within an increment of the usual length: no piece comes
loose, Newton's tangent is regular. It begins anew at each increment and is gone when nothing moves: a viscosity, not a
stiffness; a shorter increment is a faster one and has more of it."""


def with_drag(law: FoamLaw, drag: float = GAP) -> NDArray[np.float64]:
    """Return the law's constants as the compiled code here reads them: those of the foam, then the gaps' drag."""
    return np.append(law.packed(), drag)


@njit(cache=True)
def principal(s, values, axes):  # type: ignore[no-untyped-def]
    """Write the principal values of the symmetric tensor ``s`` (Voigt), falling, and their axes by column."""
    principal_in(s, values, axes, np.empty((3, 3)))


@njit(cache=True)
def principal_in(s, values, axes, a):  # type: ignore[no-untyped-def]
    """Do what :func:`principal` does in a given (3, 3) array."""
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
def _split(e, bulk, shear, s):  # type: ignore[no-untyped-def]
    """Write the deviatoric trial stress into ``s``; return trial sigma_e**2 and the mean stress."""
    volume = e[0] + e[1] + e[2]
    for i in range(3):
        s[i] = 2.0 * shear * (e[i] - volume / 3.0)
        s[3 + i] = shear * e[3 + i]
    a = 1.5 * (s[0] ** 2 + s[1] ** 2 + s[2] ** 2) + 3.0 * (s[3] ** 2 + s[4] ** 2 + s[5] ** 2)
    return a, bulk * volume


@njit(cache=True)
def room_of_point():  # type: ignore[no-untyped-def]
    """Make what :func:`open_point` and :func:`may_open` work in: arrays made at every point take most of the time."""
    return np.empty((3, 3)), np.empty((3, 3)), np.empty(6), np.empty((3, 3)), np.empty((4, 3))


@njit(cache=True)
def may_open(a, p, s, tension, room):  # type: ignore[no-untyped-def]
    """Tell whether the largest principal stress exceeds the cut-off; ``s`` deviatoric, ``a`` = sigma_e**2."""
    if not tension < np.inf or p + 2.0 / 3.0 * math.sqrt(a) <= tension:
        return False
    if p + math.sqrt(a) / 3.0 > tension:  # it lies between a third and two thirds of sigma_e above the mean
        return True
    principal_in(s, room[3][0], room[0], room[1])
    return room[3][0, 0] + p > tension


@njit(cache=True)
def open_point(e, material, kappa, law, stress, gap, flow, room):  # type: ignore[no-untyped-def]
    """Write stress, opening and plastic flow (6, Voigt) of a point with a gap; return the flow multiplier.

    ``material`` (4,): lambda, mu, yield stress, cut-off. Flow and opening have engineering shear.
    """
    axes, e6 = room[0], room[2]
    values, t, o = room[3][0], room[3][1], room[3][2]
    for i in range(3):
        e6[i], e6[3 + i] = e[i], 0.5 * e[3 + i]
    principal_in(e6, values, axes, room[1])
    g, _ = nearest_in(values, material[0], material[1], material[2], material[3], kappa, law, t, o, room[4])
    mean = (t[0] + t[1] + t[2]) / 3.0
    alpha2 = law[0] * law[0]
    for i in range(6):
        stress[i], gap[i], flow[i] = 0.0, 0.0, 0.0
    for a in range(3):
        x, y, z = axes[0, a], axes[1, a], axes[2, a]
        rate = g * (1.5 * (t[a] - mean) + alpha2 * mean / 3.0)
        for i, n in enumerate((x * x, y * y, z * z, y * z, x * z, x * y)):
            twice = 1.0 if i < 3 else 2.0
            stress[i] += t[a] * n
            gap[i] += twice * o[a] * n
            flow[i] += twice * rate * n
    return g


@njit(cache=True, parallel=True)
def respond(strain, before, kappa, weight, material, law, stress, tangent, opens):  # type: ignore[no-untyped-def]
    """Write weighted stress, and the weighted rank-one tangent, at the 8 points of a chunk of elements.

    ``strain`` (8, 6, n) is carried plus increment; ``before`` (8, 6, n) the gaps at the increment's begin; ``material``
    (4, n) lambda, mu, yield stress and cut-off; ``weight`` (n,) is the share of each element that is material.
    ``opens`` (8, n) is set where a gap is open: there the rank-one tangent is the elastic one, and :mod:`cavity_gaps`
    has the true one.
    """
    blocks = (weight.shape[0] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _respond_block(k * BLOCK, strain, before, kappa, weight, material, law, stress, tangent, opens)


@njit(cache=True)
def _respond_block(first, strain, before, kappa, weight, material, law, stress, tangent, opens):  # type: ignore[no-untyped-def]
    alpha2 = law[0] * law[0]
    c, drag = 1.0 + alpha2 / 9.0, law[7]
    s, e, gap, flow, room = np.empty(6), np.empty(6), np.empty(6), np.empty(6), room_of_point()
    for q in range(8):
        for j in range(first, min(first + BLOCK, weight.shape[0])):
            part = weight[j]
            lame, shear, strength, tension = material[0, j], material[1, j], material[2, j], material[3, j]
            bulk = lame + 2.0 * shear / 3.0
            for i in range(6):
                e[i] = strain[q, i, j]
            a, p = _split(e, bulk, shear, s)
            b = alpha2 * p * p
            y, dy, whole, dwhole = effective_yield(kappa[q, j], strength, law)
            g = 0.0
            if a + b > c * y * y:
                b1, b2 = 3.0 * shear, bulk * alpha2
                g = flow_multiplier(a, b, b1, b2, kappa[q, j], strength, law)
                a1, a2 = 1.0 + b1 * g, 1.0 + b2 * g
                p /= a2
                for i in range(6):
                    s[i] /= a1
                a /= a1 * a1
                b /= a2 * a2
            if may_open(a, p, s, tension, room):
                open_point(e, material[:, j], kappa[q, j], law, s, gap, flow, room)
                p, g, opens[q, j] = 0.0, 0.0, True
            else:
                gap[:] = 0.0
            for i in range(6):
                gap[i] -= before[q, i, j]
            volume = gap[0] + gap[1] + gap[2]
            for i in range(3):
                stress[q, i, j] = part * (s[i] + p + drag * (lame * volume + 2.0 * shear * gap[i]))
                stress[q, 3 + i, j] = part * (s[3 + i] + drag * shear * gap[3 + i])
            tangent[q, 0, j] = part * bulk
            tangent[q, 1, j] = part * shear
            for i in range(6):
                tangent[q, 2 + i, j] = 0.0
            if g > 0.0:
                size = math.sqrt((a + b) / c)
                y, dy, whole, dwhole = effective_yield(kappa[q, j] + c * g * size, strength, law)
                w1, w2 = 3.0 * shear / a1, bulk * alpha2 / a2
                root = math.sqrt(softened(w1 * a + w2 * b, g, size, c, y, dy, whole, dwhole) * part)
                tangent[q, 0, j] /= a2
                tangent[q, 1, j] /= a1
                for i in range(6):
                    tangent[q, 2 + i, j] = root * (w1 * s[i] + w2 * p if i < 3 else w1 * s[i])


@njit(cache=True, parallel=True)
def advance(strain, before, kappa, weight, material, law, jam, energy):  # type: ignore[no-untyped-def]
    """Move the history in place: ``strain`` becomes the carried strain, ``kappa`` grows; write ``energy`` (2, n).

    Parameters
    ----------
    before : (8, 6, n), the gaps at the increment's begin
    jam : share of new opening that does not close again (debris between the faces)
    energy : receives stored energy and the increment's dissipation, MPa, averaged over the weighted octants
    """
    blocks = (weight.shape[0] + BLOCK - 1) // BLOCK
    for k in prange(blocks):
        _advance_block(k * BLOCK, strain, before, kappa, weight, material, law, jam, energy)


@njit(cache=True)
def _advance_block(first, strain, before, kappa, weight, material, law, jam, energy):  # type: ignore[no-untyped-def]
    alpha2 = law[0] * law[0]
    c, drag = 1.0 + alpha2 / 9.0, law[7]
    s, e, gap, flow, room = np.empty(6), np.empty(6), np.empty(6), np.empty(6), room_of_point()
    last = min(first + BLOCK, weight.shape[0])
    energy[:, first:last] = 0.0
    for q in range(8):
        for j in range(first, last):
            lame, shear, strength, tension = material[0, j], material[1, j], material[2, j], material[3, j]
            bulk = lame + 2.0 * shear / 3.0
            part = 0.125 * weight[j]
            for i in range(6):
                e[i] = strain[q, i, j]
            a, p = _split(e, bulk, shear, s)
            b = alpha2 * p * p
            y, _, _, _ = effective_yield(kappa[q, j], strength, law)
            g, open_ = 0.0, False
            if a + b > c * y * y:
                g = flow_multiplier(a, b, 3.0 * shear, bulk * alpha2, kappa[q, j], strength, law)
                a1, a2 = 1.0 + 3.0 * shear * g, 1.0 + bulk * alpha2 * g
                p /= a2
                a /= a1 * a1
                b /= a2 * a2
                for i in range(6):
                    s[i] /= a1
                    flow[i] = g * (1.5 * s[i] + alpha2 * p / 3.0 if i < 3 else 3.0 * s[i])
            if may_open(a, p, s, tension, room):
                open_ = True
                g = open_point(e, material[:, j], kappa[q, j], law, s, gap, flow, room)
                p = (s[0] + s[1] + s[2]) / 3.0
                for i in range(3):
                    s[i] -= p
                a = 1.5 * (s[0] ** 2 + s[1] ** 2 + s[2] ** 2) + 3.0 * (s[3] ** 2 + s[4] ** 2 + s[5] ** 2)
                b = alpha2 * p * p
            if g > 0.0:
                for i in range(6):
                    strain[q, i, j] -= flow[i]
                kappa[q, j] += c * g * math.sqrt((a + b) / c)
                energy[1, j] += part * g * (a + b)
            energy[0, j] += part * (a / (6.0 * shear) + p * p / (2.0 * bulk))
            if open_:
                work = 0.0
                for i in range(3):
                    work += (s[i] + p) * gap[i] + s[3 + i] * gap[3 + i]
                energy[0, j] += part * work
            else:
                gap[:] = 0.0
            for i in range(6):
                gap[i] -= before[q, i, j]
            wider = gap[0] + gap[1] + gap[2]
            change = lame * wider * wider
            for i in range(3):
                change += shear * (2.0 * gap[i] ** 2 + gap[3 + i] ** 2)
            energy[1, j] += part * drag * change
            if jam > 0.0 and wider > 0.0:
                for i in range(6):
                    strain[q, i, j] -= jam * gap[i]


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
