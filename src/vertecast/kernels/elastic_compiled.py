"""Compiled elastic operator: one pass over the bricks, in rows along z, that ends in one of three epilogues.

A slab of voxel planes is worked by one thread. Node planes inside a slab are finished there; the plane that two slabs
share is finished afterwards from the two parts, so that sums do not depend on the number of threads. Within a slab the
transform of :mod:`brick_modes` is spread over the loops: sums over x and z are made once for each node row, sums over
y in the element loop, and the inverse leaves carries in y (scratch) and x (one plane). Rows are cut in tiles of
``TILE`` nodes held in scratch of constant pitch, which the compiler turns into vector instructions.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from vertecast.kernels.brick_modes import bending_block, normal_block, shear_block, twist_block

TILE = 72
PITCH = 80
APPLY, RESIDUAL, CHEBYSHEV = 0, 1, 2

_OPTIONS: Any = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}

# Rows of scratch: 12 z-modes of the finished node row, then the 12 carried to the next one.
# Row (x-mode a, component c, z-mode b) is 6 a + 2 c + b.
_P = PITCH
_C = 12 * PITCH


@njit(**_OPTIONS)
def _gather(x, near, far, stride, modes, base, first, end):  # type: ignore[no-untyped-def]
    """Write the x- and z-modes of one node row: slots ``first`` <= s < ``end``; node of slot s is near + s - 1."""
    for c in range(3):
        lower = near + c * stride + first - 1
        upper = far + c * stride + first - 1
        low = x[lower : lower + end - first + 1]
        high = x[upper : upper + end - first + 1]
        into = modes[base + 2 * c * _P + first : base + 12 * _P]
        for k in range(end - first):
            s0 = high[k] + low[k]
            d0 = high[k] - low[k]
            s1 = high[k + 1] + low[k + 1]
            d1 = high[k + 1] - low[k + 1]
            into[k] = s1 + s0
            into[_P + k] = s1 - s0
            into[6 * _P + k] = d1 + d0
            into[7 * _P + k] = d1 - d0


@njit(**_OPTIONS)
def _bricks(modes, near, far, lame, mu, packed, first, end, coefficients, rows):  # type: ignore[no-untyped-def]
    """Work the bricks of one run: finish the y-inverse of the node row and carry the rest to the next."""
    a = (coefficients[0], coefficients[1], coefficients[2])
    share_lame, share_mu, third, ninth = coefficients[3], coefficients[4], coefficients[5], coefficients[6]
    squares = (a[0] * a[0], a[1] * a[1], a[2] * a[2])
    lame_run = lame[packed : packed + end - first]
    mu_run = mu[packed : packed + end - first]
    n = modes[near + first : near + 12 * _P]
    f = modes[far + first : far + 12 * _P]
    done = rows[first:]
    for k in range(end - first):
        lam, m = lame_run[k], mu_run[k]
        high = share_lame * lam + share_mu * m
        mu2, mu3, high3 = m + m, third * m, third * high
        mu9, stiff9 = ninth * m, ninth * (high + m + m)
        # modes: x-sum/diff from the row, y-sum/diff from the two rows, z-sum/diff from the row
        x001 = f[_P + k] + n[_P + k]
        x010 = f[k] - n[k]
        x011 = f[_P + k] - n[_P + k]
        y001 = f[3 * _P + k] + n[3 * _P + k]
        y010 = f[2 * _P + k] - n[2 * _P + k]
        y011 = f[3 * _P + k] - n[3 * _P + k]
        z001 = f[5 * _P + k] + n[5 * _P + k]
        z010 = f[4 * _P + k] - n[4 * _P + k]
        z011 = f[5 * _P + k] - n[5 * _P + k]
        x100 = f[6 * _P + k] + n[6 * _P + k]
        x110 = f[6 * _P + k] - n[6 * _P + k]
        x101 = f[7 * _P + k] + n[7 * _P + k]
        x111 = f[7 * _P + k] - n[7 * _P + k]
        y100 = f[8 * _P + k] + n[8 * _P + k]
        y110 = f[8 * _P + k] - n[8 * _P + k]
        y101 = f[9 * _P + k] + n[9 * _P + k]
        y111 = f[9 * _P + k] - n[9 * _P + k]
        z100 = f[10 * _P + k] + n[10 * _P + k]
        z110 = f[10 * _P + k] - n[10 * _P + k]
        z101 = f[11 * _P + k] + n[11 * _P + k]
        z111 = f[11 * _P + k] - n[11 * _P + k]
        x100, y010, z001 = normal_block(x100, y010, z001, a, lam, mu2)
        x010, y100 = shear_block(x010, y100, a[1], a[0], m)
        x001, z100 = shear_block(x001, z100, a[2], a[0], m)
        y001, z010 = shear_block(y001, z010, a[2], a[1], m)
        y110, z101 = bending_block(y110, z101, a[1], a[2], a[0], high3, mu3)
        x110, z011 = bending_block(x110, z011, a[0], a[2], a[1], high3, mu3)
        x101, y011 = bending_block(x101, y011, a[0], a[1], a[2], high3, mu3)
        x011t, y101t, z110t = twist_block(x011, y101, z110, a, mu3)
        x111 = x111 * (squares[0] * stiff9 + (squares[1] + squares[2]) * mu9)
        y111 = y111 * (squares[1] * stiff9 + (squares[0] + squares[2]) * mu9)
        z111 = z111 * (squares[2] * stiff9 + (squares[0] + squares[1]) * mu9)
        # inverse over y: the near row takes (y-sum - y-diff), the far row (y-sum + y-diff)
        done[k] = done[_C + k] - x010
        done[_C + k] = x010
        done[_P + k] = done[_C + _P + k] + (x001 - x011t)
        done[_C + _P + k] = x001 + x011t
        done[2 * _P + k] = done[_C + 2 * _P + k] - y010
        done[_C + 2 * _P + k] = y010
        done[3 * _P + k] = done[_C + 3 * _P + k] + (y001 - y011)
        done[_C + 3 * _P + k] = y001 + y011
        done[4 * _P + k] = done[_C + 4 * _P + k] - z010
        done[_C + 4 * _P + k] = z010
        done[5 * _P + k] = done[_C + 5 * _P + k] + (z001 - z011)
        done[_C + 5 * _P + k] = z001 + z011
        done[6 * _P + k] = done[_C + 6 * _P + k] + (x100 - x110)
        done[_C + 6 * _P + k] = x100 + x110
        done[7 * _P + k] = done[_C + 7 * _P + k] + (x101 - x111)
        done[_C + 7 * _P + k] = x101 + x111
        done[8 * _P + k] = done[_C + 8 * _P + k] + (y100 - y110)
        done[_C + 8 * _P + k] = y100 + y110
        done[9 * _P + k] = done[_C + 9 * _P + k] + (y101t - y111)
        done[_C + 9 * _P + k] = y101t + y111
        done[10 * _P + k] = done[_C + 10 * _P + k] + (z100 - z110t)
        done[_C + 10 * _P + k] = z100 + z110t
        done[11 * _P + k] = done[_C + 11 * _P + k] + (z101 - z111)
        done[_C + 11 * _P + k] = z101 + z111


@njit(**_OPTIONS)
def _gap(rows, first, end):  # type: ignore[no-untyped-def]
    """Pass the carry on where the voxel row has no brick."""
    if end <= first:
        return
    for r in range(12):
        for s in range(first, end):
            rows[r * _P + s] = rows[_C + r * _P + s]
            rows[_C + r * _P + s] = 0


@njit(**_OPTIONS)
def _scatter(rows, carry, result, at, stride, count):  # type: ignore[no-untyped-def]
    """Undo the z- and x-modes of a finished node row: slot s + 1 is the brick above node s, slot s the one below."""
    for c in range(3):
        held = carry[at + c * stride : at + c * stride + count]
        out = result[at + c * stride : at + c * stride + count]
        r = 2 * c * _P
        for k in range(count):
            total = (rows[r + 1 + k] - rows[r + _P + 1 + k]) + (rows[r + k] + rows[r + _P + k])
            change = (rows[r + 6 * _P + 1 + k] - rows[r + 7 * _P + 1 + k]) + (
                rows[r + 6 * _P + k] + rows[r + 7 * _P + k]
            )
            out[k] = held[k] + (total - change)
            held[k] = total + change


@njit(**_OPTIONS)
def _plane(i, x, material, start, runs, coefficients, nodes, carry, result, modes, rows):  # type: ignore[no-untyped-def]
    """Add the bricks of voxel plane ``i``: node plane i goes to ``result``, node plane i + 1 to ``carry``."""
    lame, mu = material[0], material[1]
    ny, nz = nodes.shape[1] - 1, nodes.shape[2] - 1
    row = nz + 1
    stride = (ny + 1) * row
    block = nodes.shape[0] * stride
    tiles = (nz + TILE) // TILE
    length = (nz + tiles) // tiles
    for tile in range(tiles):
        n0 = tile * length
        count = min(length, nz + 1 - n0)
        low = 1 if n0 == 0 else 0
        top = min(count + 1, nz - n0 + 1)
        rows[:] = 0
        near, far, have = 0, _C, -1
        for j in range(ny + 1):
            at = j * row + n0
            done = 0
            if j < ny and start[i * ny + j + 1] > start[i * ny + j]:
                base = i * stride + at
                if have != j:
                    _gather(x, base, base + stride, block, modes, near, low, top)
                _gather(x, base + row, base + stride + row, block, modes, far, low, top)
                for run in range(start[i * ny + j], start[i * ny + j + 1]):
                    first = max(runs[run, 0] - n0 + 1, low)
                    end = min(runs[run, 1] - n0 + 1, top)
                    if end > first:
                        packed = runs[run, 2] + first - 1 + n0 - runs[run, 0]
                        _gap(rows, done, first)
                        _bricks(modes, near, far, lame, mu, packed, first, end, coefficients, rows)
                        done = end
                near, far, have = far, near, j + 1
            if nodes[i, j, 0]:
                _gap(rows, done, count + 1)
                _scatter(rows, carry, result, at, stride, count)
            else:
                for c in range(3):
                    result[at + c * stride : at + c * stride + count] = 0


@njit(**_OPTIONS)
def _finish(mode, part, plane, stride, block, x, b, d, inverse, out, weights):  # type: ignore[no-untyped-def]
    """Use one finished node plane of K x: write it, or the residual, or take a Chebyshev step."""
    for c in range(3):
        o = c * block + plane * stride
        y = part[c * stride : (c + 1) * stride]
        if mode == APPLY:
            out[o : o + stride] = y
        elif mode == RESIDUAL:
            target, right = out[o : o + stride], b[o : o + stride]
            for k in range(stride):
                target[k] = right[k] - y[k]
        else:
            right, held = b[o : o + stride], inverse[o : o + stride]
            for k in range(stride):
                y[k] = weights[1] * held[k] * (right[k] - y[k])
            step, value = d[o : o + stride], x[o : o + stride]
            for k in range(stride):
                step[k] = weights[0] * step[k] + y[k]
                value[k] += step[k]


@njit(**_OPTIONS)
def _slab(s, mode, x, material, start, runs, coefficients, nodes, bounds, work, b, d, inverse, out, weights):  # type: ignore[no-untyped-def]
    """Work one slab; the planes it shares are left in ``work``: 0 carried upward, 1 plane in hand, 2 lowest plane."""
    stride = nodes.shape[1] * nodes.shape[2]
    block = nodes.shape[0] * stride
    first, end = bounds[s], bounds[s + 1]
    modes, rows = np.empty(24 * PITCH, x.dtype), np.empty(24 * PITCH, x.dtype)
    carry = work[s, 0]
    carry[:] = 0
    for i in range(first, end):
        result = work[s, 2] if i == first and s > 0 else work[s, 1]
        _plane(i, x, material, start, runs, coefficients, nodes, carry, result, modes, rows)
        if i > first or s == 0:
            _finish(mode, result, i, stride, block, x, b, d, inverse, out, weights)
    if s == bounds.size - 2:
        _finish(mode, carry, end, stride, block, x, b, d, inverse, out, weights)


@njit(**_OPTIONS)
def _seam(s, mode, x, nodes, bounds, work, b, d, inverse, out, weights):  # type: ignore[no-untyped-def]
    """Finish the plane between slab ``s`` and the next from their two parts."""
    stride = nodes.shape[1] * nodes.shape[2]
    upper, lower = work[s, 0], work[s + 1, 2]
    for k in range(upper.size):
        upper[k] += lower[k]
    _finish(mode, upper, bounds[s + 1], stride, nodes.shape[0] * stride, x, b, d, inverse, out, weights)


@njit(**_OPTIONS)
def elastic_serial(mode, x, material, start, runs, coefficients, nodes, bounds, work, b, d, inverse, out, weights):  # type: ignore[no-untyped-def]
    """Do what :func:`elastic_parallel` does in one thread, with the same sums."""
    for s in range(bounds.size - 1):
        _slab(s, mode, x, material, start, runs, coefficients, nodes, bounds, work, b, d, inverse, out, weights)
    for s in range(bounds.size - 2):
        _seam(s, mode, x, nodes, bounds, work, b, d, inverse, out, weights)


@njit(parallel=True, **_OPTIONS)
def elastic_parallel(mode, x, material, start, runs, coefficients, nodes, bounds, work, b, d, inverse, out, weights):  # type: ignore[no-untyped-def]
    """Apply K to ``x`` and end in APPLY (out = K x), RESIDUAL (out = b - K x) or CHEBYSHEV (x, d advanced in place)."""
    for s in prange(bounds.size - 1):
        _slab(s, mode, x, material, start, runs, coefficients, nodes, bounds, work, b, d, inverse, out, weights)
    for s in prange(bounds.size - 2):
        _seam(s, mode, x, nodes, bounds, work, b, d, inverse, out, weights)
