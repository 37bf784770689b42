"""The stress nearest to a trial stress that a foam ellipse and a tension cut-off allow, in principal axes.

Nearest in the energy of the isotropic elastic law. What is taken away is opening across the directions at the cut-off
and plastic flow normal to the ellipse, neither negative: the conditions that mark the nearest point of a convex set,
by which the directions at the cut-off are found.
"""

import math

import numpy as np
from numba import njit

from vertecast.kernels.foam_points import effective_yield

_BELOW = 0.98  # share of the yield stress that the cut-off stays below where a point opens and crushes at once


@njit(cache=True)
def nearest(e, lame, mu, strength, tension, kappa, law, t, o):  # type: ignore[no-untyped-def]
    """Write principal stresses ``t`` and openings ``o`` of principal strains ``e`` (3,); return the flow multiplier.

    The ellipse's size follows ``kappa`` as in :mod:`foam_points`.
    """
    order = np.argsort(-e)
    trial, found, gap = np.empty(3), np.empty(3), np.zeros(3)
    volume = e[0] + e[1] + e[2]
    for i in range(3):
        trial[i] = lame * volume + 2.0 * mu * e[order[i]]
    c = 1.0 + law[0] * law[0] / 9.0
    y, _, _, _ = effective_yield(kappa, strength, law)
    g = 0.0
    _open(trial, lame, mu, tension, found, gap)
    if squared(found, law) > c * y * y * (1.0 + 1e-12):
        top = min(tension, _BELOW * y)
        for held in range(4):
            g = _crushed(trial, lame, mu, strength, top, kappa, law, held, found, gap)
            right = True
            for i in range(3):
                fits = gap[i] >= -1e-12 if i < held else found[i] <= top + 1e-12 * y
                right = right and fits
            if right:
                break
    for i in range(3):
        t[order[i]], o[order[i]] = found[i], gap[i]
    return g


@njit(cache=True)
def squared(t, law):  # type: ignore[no-untyped-def]
    """Return sigma_e**2 + alpha**2 sigma_m**2 of principal stresses."""
    mean = (t[0] + t[1] + t[2]) / 3.0
    dev = (t[0] - mean) ** 2 + (t[1] - mean) ** 2 + (t[2] - mean) ** 2
    return 1.5 * dev + law[0] * law[0] * mean * mean


@njit(cache=True)
def _open(trial, lame, mu, tension, t, o):  # type: ignore[no-untyped-def]
    """Bring falling principal stresses down to the cut-off by gaps alone."""
    o[:] = 0.0
    if trial[0] > tension:
        o[0] = (trial[0] - tension) / (lame + 2.0 * mu)
        if trial[1] - lame * o[0] > tension:
            count, total = 2, (trial[0] + trial[1] - 2.0 * tension) / (2.0 * lame + 2.0 * mu)
            if trial[2] - lame * total > tension:
                count = 3
                total = (trial[0] + trial[1] + trial[2] - 3.0 * tension) / (3.0 * lame + 2.0 * mu)
            for i in range(count):
                o[i] = (trial[i] - tension - lame * total) / (2.0 * mu)
    opening = o[0] + o[1] + o[2]
    for i in range(3):
        t[i] = trial[i] - lame * opening - 2.0 * mu * o[i]


@njit(cache=True)
def _crushed(trial, lame, mu, strength, top, kappa, law, held, t, o):  # type: ignore[no-untyped-def]
    """Return to the ellipse with the first ``held`` stresses at the cut-off; false position on the multiplier."""
    low, high = 0.0, 1.0 / mu
    at_low = _miss(low, trial, lame, mu, strength, top, kappa, law, held, t)
    at_high = _miss(high, trial, lame, mu, strength, top, kappa, law, held, t)
    for _ in range(60):
        if at_high <= 0.0:
            break
        low, at_low, high = high, at_high, 4.0 * high
        at_high = _miss(high, trial, lame, mu, strength, top, kappa, law, held, t)
    g, side = high, 0
    if at_low <= 0.0:
        g = 0.0
        _miss(g, trial, lame, mu, strength, top, kappa, law, held, t)
    elif at_high < 0.0:
        for _ in range(60):
            g = (low * at_high - high * at_low) / (at_high - at_low)
            miss = _miss(g, trial, lame, mu, strength, top, kappa, law, held, t)
            if abs(miss) <= 1e-13 or high - low <= 1e-15 * high:
                break
            if miss > 0.0:
                low, at_low = g, miss
                at_high = 0.5 * at_high if side == 1 else at_high
                side = 1
            else:
                high, at_high = g, miss
                at_low = 0.5 * at_low if side == -1 else at_low
                side = -1
    first, other = _compliance(lame, mu)
    mean = (t[0] + t[1] + t[2]) / 3.0
    total = trial[0] + trial[1] + trial[2] - 3.0 * mean
    for i in range(3):
        flow = g * (1.5 * (t[i] - mean) + law[0] * law[0] * mean / 3.0)
        o[i] = (first - other) * (trial[i] - t[i]) + other * total - flow if i < held else 0.0
    return g


@njit(cache=True)
def _compliance(lame, mu):  # type: ignore[no-untyped-def]
    """Return the diagonal and the other entries of the compliance in principal axes."""
    whole = mu * (3.0 * lame + 2.0 * mu)
    return (lame + mu) / whole, -0.5 * lame / whole


@njit(cache=True)
def _miss(g, trial, lame, mu, strength, top, kappa, law, held, t):  # type: ignore[no-untyped-def]
    """Write the stresses at multiplier ``g``; return how far they are outside the ellipse, over the yield stress."""
    alpha2 = law[0] * law[0]
    first, other = _compliance(lame, mu)
    total = trial[0] + trial[1] + trial[2]
    p, q = first + g * (1.0 + alpha2 / 9.0), other + g * (alpha2 / 9.0 - 0.5)
    for i in range(held):
        t[i] = top
    # (p - q) t_i + q * sum of all t = strain_i for the free ones
    free, right = 3 - held, 0.0
    for i in range(held, 3):
        right += (first - other) * trial[i] + other * total
    if free:
        rest = (right - free * q * held * top) / (p - q + free * q)
        for i in range(held, 3):
            t[i] = ((first - other) * trial[i] + other * total - q * (held * top + rest)) / (p - q)
    size = math.sqrt(squared(t, law) / (1.0 + alpha2 / 9.0))
    y, _, _, _ = effective_yield(kappa + (1.0 + alpha2 / 9.0) * g * size, strength, law)
    return size / y - 1.0
