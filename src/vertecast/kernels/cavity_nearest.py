"""The stress nearest to a trial stress that a foam ellipse and a tension cut-off allow, in principal axes.

Nearest in the energy of the isotropic elastic law. What is taken away is opening across the directions at the cut-off
and plastic flow normal to the ellipse, neither negative: the conditions that mark the nearest point of a convex set,
by which the directions at the cut-off are found.
"""

import math

import numpy as np
from numba import njit

from vertecast.kernels.foam_points import effective_yield

_FARTHEST = 1e8  # multiplier, over 1/mu, beyond which the ellipse is not looked for any more
_BELOW = 0.98  # share of the yield stress that the cut-off stays below where a point opens and crushes at once


@njit(cache=True)
def nearest(e, lame, mu, strength, tension, kappa, law, t, o):  # type: ignore[no-untyped-def]
    """Write principal stresses ``t`` and openings ``o`` of principal strains ``e`` (3,).

    Returns the flow multiplier, and how many directions, from the largest strain on, are at the cut-off. The
    ellipse's size follows ``kappa`` as in :mod:`foam_points`.
    """
    return nearest_in(e, lame, mu, strength, tension, kappa, law, t, o, np.empty((4, 3)))


@njit(cache=True)
def nearest_in(e, lame, mu, strength, tension, kappa, law, t, o, room):  # type: ignore[no-untyped-def]
    """Do what :func:`nearest` does in a given (4, 3) ``room``: making arrays at every point takes most of the time."""
    first, second, third = _falling(e)
    trial, found, gap, rate = room[0], room[1], room[2], room[3]
    volume = e[0] + e[1] + e[2]
    trial[0] = lame * volume + 2.0 * mu * e[first]
    trial[1] = lame * volume + 2.0 * mu * e[second]
    trial[2] = lame * volume + 2.0 * mu * e[third]
    c = 1.0 + law[0] * law[0] / 9.0
    y, _, _, _ = effective_yield(kappa, strength, law)
    g = 0.0
    count = _open(trial, lame, mu, tension, found, gap)
    if squared(found, law) > c * y * y * (1.0 + 1e-12):
        top = min(tension, _BELOW * y)
        for held in range(4):
            count = held
            g = _crushed(trial, lame, mu, strength, top, kappa, law, held, found, gap, rate)
            right = True
            for i in range(3):
                fits = gap[i] >= -1e-12 if i < held else found[i] <= top + 1e-12 * y
                right = right and fits
            if right:
                break
    t[first], t[second], t[third] = found[0], found[1], found[2]
    o[first], o[second], o[third] = gap[0], gap[1], gap[2]
    return g, count


@njit(cache=True, inline="always")
def _falling(e):  # type: ignore[no-untyped-def]
    """Return the numbers of three values, largest first."""
    first, second, third = 0, 1, 2
    if e[second] > e[first]:
        first, second = second, first
    if e[third] > e[first]:
        first, second, third = third, first, second
    elif e[third] > e[second]:
        second, third = third, second
    return first, second, third


@njit(cache=True)
def squared(t, law):  # type: ignore[no-untyped-def]
    """Return sigma_e**2 + alpha**2 sigma_m**2 of principal stresses."""
    mean = (t[0] + t[1] + t[2]) / 3.0
    dev = (t[0] - mean) ** 2 + (t[1] - mean) ** 2 + (t[2] - mean) ** 2
    return 1.5 * dev + law[0] * law[0] * mean * mean


@njit(cache=True)
def _open(trial, lame, mu, tension, t, o):  # type: ignore[no-untyped-def]
    """Bring falling principal stresses down to the cut-off by gaps alone; return how many open."""
    o[:] = 0.0
    count = 0
    if trial[0] > tension:
        count = 1
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
    return count


@njit(cache=True)
def _crushed(trial, lame, mu, strength, top, kappa, law, held, t, o, rate):  # type: ignore[no-untyped-def]
    """Return to the ellipse with the first ``held`` stresses at the cut-off; return the flow multiplier.

    Newton on 1/size - 1/yield, as in :func:`foam_points.flow_multiplier`, within a bracket.
    """
    low, high, g = 0.0, np.inf, 0.0
    for _ in range(60):
        miss, slope = _miss(g, trial, lame, mu, strength, top, kappa, law, held, t, rate)
        if abs(miss) <= 1e-14 or (g == 0.0 and miss > 0.0):
            break
        if miss < 0.0:
            low = g
        else:
            high = g
        new = g - miss / slope if slope > 0.0 else np.inf
        if not (low < new < high):
            new = 0.5 * (low + high) if high < np.inf else max(4.0 * low, 1.0 / mu)
        if new > _FARTHEST / mu or abs(new - g) <= 1e-15 * new:
            break
        g = new
    first, other = _compliance(lame, mu)
    mean = (t[0] + t[1] + t[2]) / 3.0
    total = trial[0] + trial[1] + trial[2] - 3.0 * mean
    for i in range(3):
        flow = g * (1.5 * (t[i] - mean) + law[0] * law[0] * mean / 3.0)
        o[i] = (first - other) * (trial[i] - t[i]) + other * total - flow if i < held else 0.0
    return g


@njit(cache=True, inline="always")
def _compliance(lame, mu):  # type: ignore[no-untyped-def]
    """Return the diagonal and the other entries of the compliance in principal axes."""
    whole = mu * (3.0 * lame + 2.0 * mu)
    return (lame + mu) / whole, -0.5 * lame / whole


@njit(cache=True)
def _miss(g, trial, lame, mu, strength, top, kappa, law, held, t, rate):  # type: ignore[no-untyped-def]
    """Write the stresses at multiplier ``g`` and their rate; return (1/size - 1/yield) times yield, and its slope."""
    alpha2 = law[0] * law[0]
    c = 1.0 + alpha2 / 9.0
    first, other = _compliance(lame, mu)
    total = trial[0] + trial[1] + trial[2]
    coupling = alpha2 / 9.0 - 0.5
    own, q = first - other + 1.5 * g, other + g * coupling
    # own * t_i + q * sum of all t = strain_i for the free ones
    free, right = 3 - held, 0.0
    for i in range(held, 3):
        right += (first - other) * trial[i] + other * total
    rest = (right - free * q * held * top) / (own + free * q)
    drest = -(free * coupling * held * top + rest * (1.5 + free * coupling)) / (own + free * q)
    for i in range(3):
        if i < held:
            t[i], rate[i] = top, 0.0
        else:
            t[i] = ((first - other) * trial[i] + other * total - q * (held * top + rest)) / own
            rate[i] = -(coupling * (held * top + rest) + q * drest + 1.5 * t[i]) / own
    mean, change = (t[0] + t[1] + t[2]) / 3.0, 0.0
    for i in range(3):
        change += (1.5 * (t[i] - mean) + alpha2 * mean / 3.0) * rate[i]
    size = math.sqrt(squared(t, law) / c)
    if size <= 1e-12 * strength:
        return 1.0, 0.0
    dsize = change / (c * size)
    y, dy, _, _ = effective_yield(kappa + c * g * size, strength, law)
    return y / size - 1.0, y * (-dsize / (size * size) + dy * c * (size + g * dsize) / (y * y))


@njit(cache=True)
def nearest_tangent(t, g, held, lame, mu, strength, kappa, law, d, w):  # type: ignore[no-untyped-def]
    """Write the derivative ``d`` (3, 3) of the stresses :func:`nearest` found, and ``w`` (3, 3) that of the openings.

    ``t`` must fall. The free stresses follow the compliance, to which flow adds; what is at the cut-off stays.
    """
    alpha2 = law[0] * law[0]
    c = 1.0 + alpha2 / 9.0
    first, other = _compliance(lame, mu)
    own, q = first - other + 1.5 * g, other + g * (alpha2 / 9.0 - 0.5)
    free, mean = 3 - held, (t[0] + t[1] + t[2]) / 3.0
    share = q / (own + free * q)
    n = np.empty(3)
    inverse = np.zeros((3, 3))
    for a in range(3):
        n[a] = 1.5 * (t[a] - mean) + alpha2 * mean / 3.0
        for b in range(3):
            d[a, b] = w[a, b] = 0.0
            if a >= held and b >= held:
                inverse[a, b] = ((1.0 if a == b else 0.0) - share) / own
    turned, along = np.zeros(3), 0.0
    if g > 0.0:
        for a in range(held, 3):
            for b in range(held, 3):
                turned[a] += inverse[a, b] * n[b]
            along += n[a] * turned[a]
        size = math.sqrt(squared(t, law) / c)
        y, dy, _, _ = effective_yield(kappa + c * g * size, strength, law)
        along += c * c * y * y * dy / max(1.0 - c * g * dy, 1e-3)
    for a in range(held, 3):
        for b in range(held, 3):
            d[a, b] = inverse[a, b] - (turned[a] * turned[b] / along if along > 0.0 else 0.0)
    for a in range(held):
        w[a, a] = 1.0
        for b in range(held, 3):
            for k in range(held, 3):
                w[a, b] -= q * d[k, b]
            w[a, b] -= n[a] * turned[b] / along if along > 0.0 else 0.0
