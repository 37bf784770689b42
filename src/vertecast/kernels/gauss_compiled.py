"""Compiled passes over the eight Gauss points of every brick: strain, force of stresses, and the tangent of both.

The traversal is that of :mod:`elastic_compiled`; at the points, the modes of a displacement gradient are again a
Walsh-Hadamard transform, over the two axes across the derivative, so that each gradient has four values in a brick.
"""

import numpy as np
from numba import njit, prange

from vertecast.kernels.elastic_compiled import _OPTIONS, PITCH, TILE, _gap, _gather, _scatter

STRAIN, FORCE, TANGENT = 0, 1, 2
_P = PITCH
_C = 12 * PITCH
# Scratch rows: 36 gradients (3 c + d) * 4 + value, then 48 strains or stresses 6 g + component.
_S = 36 * PITCH


@njit(**_OPTIONS)
def _gradients(modes, near, far, first, end, c, scales, grad):  # type: ignore[no-untyped-def]
    """Write the 12 gradient values of component ``c``; ``scales`` are 1 / (4 h), then the Gauss coordinate."""
    rx, ry, rz, s = scales[0], scales[1], scales[2], scales[3]
    n = modes[near + 2 * c * _P + first : near + 12 * _P]
    f = modes[far + 2 * c * _P + first : far + 12 * _P]
    out = grad[12 * c * _P + first : _S]
    for k in range(end - first):
        m001 = f[_P + k] + n[_P + k]
        m010 = f[k] - n[k]
        m011 = s * (f[_P + k] - n[_P + k])
        m100 = f[6 * _P + k] + n[6 * _P + k]
        m101 = s * (f[7 * _P + k] + n[7 * _P + k])
        m110 = s * (f[6 * _P + k] - n[6 * _P + k])
        m111 = s * s * (f[7 * _P + k] - n[7 * _P + k])
        out[k] = rx * ((m100 - m110) - (m101 - m111))
        out[_P + k] = rx * ((m100 - m110) + (m101 - m111))
        out[2 * _P + k] = rx * ((m100 + m110) - (m101 + m111))
        out[3 * _P + k] = rx * ((m100 + m110) + (m101 + m111))
        out[4 * _P + k] = ry * ((m010 - m110) - (m011 - m111))
        out[5 * _P + k] = ry * ((m010 - m110) + (m011 - m111))
        out[6 * _P + k] = ry * ((m010 + m110) - (m011 + m111))
        out[7 * _P + k] = ry * ((m010 + m110) + (m011 + m111))
        out[8 * _P + k] = rz * ((m001 - m101) - (m011 - m111))
        out[9 * _P + k] = rz * ((m001 - m101) + (m011 - m111))
        out[10 * _P + k] = rz * ((m001 + m101) - (m011 + m111))
        out[11 * _P + k] = rz * ((m001 + m101) + (m011 + m111))


@njit(**_OPTIONS)
def _strains(grad, first, end, mean_share):  # type: ignore[no-untyped-def]
    """Turn gradients into the 48 strains; ``mean_share`` = 1 puts the element's mean volume strain at every point."""
    count = end - first
    points = grad[_S:]
    for g in range(8):
        yz, xz, xy = g % 4, 2 * (g // 4) + g % 2, g // 2
        out = points[6 * g * _P + first :]
        for component, row in ((0, yz), (1, 16 + xz), (2, 32 + xy)):
            source = grad[row * _P + first : row * _P + end]
            for k in range(count):
                out[component * _P + k] = source[k]
        for component, row, other in ((3, 20 + xy, 28 + xz), (4, 8 + xy, 24 + yz), (5, 4 + xz, 12 + yz)):
            one, two = grad[row * _P + first : row * _P + end], grad[other * _P + first : other * _P + end]
            for k in range(count):
                out[component * _P + k] = one[k] + two[k]
    if mean_share != 0:
        _share_mean(points, first, count, mean_share)


@njit(**_OPTIONS)
def _share_mean(points, first, count, mean_share):  # type: ignore[no-untyped-def]
    """Replace the mean of the normal components at each point by the brick's; its own transpose."""
    mean = np.zeros(_P)
    for g in range(8):
        row = points[6 * g * _P + first :]
        for k in range(count):
            mean[k] += row[k] + row[_P + k] + row[2 * _P + k]
    for g in range(8):
        row = points[6 * g * _P + first :]
        for k in range(count):
            shift = mean_share / 3.0 * (0.125 * mean[k] - (row[k] + row[_P + k] + row[2 * _P + k]))
            row[k] += shift
            row[_P + k] += shift
            row[2 * _P + k] += shift


@njit(**_OPTIONS)
def _rank_one(values, grad, packed, first, end, held):  # type: ignore[no-untyped-def]
    """Turn strains into stresses by khat 1x1 + 2 ghat Idev - w w at each point."""
    count = end - first
    for g in range(8):
        for row in range(8):
            source = values[g, row, packed : packed + count]
            target = held[row * _P : row * _P + count]
            for k in range(count):
                target[k] = source[k]
        point = grad[_S + 6 * g * _P + first :]
        for k in range(count):
            exx, eyy, ezz = point[k], point[_P + k], point[2 * _P + k]
            eyz, exz, exy = point[3 * _P + k], point[4 * _P + k], point[5 * _P + k]
            wxx, wyy, wzz = held[2 * _P + k], held[3 * _P + k], held[4 * _P + k]
            wyz, wxz, wxy = held[5 * _P + k], held[6 * _P + k], held[7 * _P + k]
            shear = held[_P + k]
            along = (wxx * exx + wyy * eyy + wzz * ezz) + (wyz * eyz + wxz * exz + wxy * exy)
            pressure = (held[k] - shear / 1.5) * (exx + eyy + ezz)
            point[k] = pressure + (shear + shear) * exx - along * wxx
            point[_P + k] = pressure + (shear + shear) * eyy - along * wyy
            point[2 * _P + k] = pressure + (shear + shear) * ezz - along * wzz
            point[3 * _P + k] = shear * eyz - along * wyz
            point[4 * _P + k] = shear * exz - along * wxz
            point[5 * _P + k] = shear * exy - along * wxy


@njit(**_OPTIONS)
def _folded(grad, first, end):  # type: ignore[no-untyped-def]
    """Add the stresses of the two points along each derivative: the 36 rows that are dual to the gradients."""
    count = end - first
    for c in range(3):
        for d in range(3):
            component = c if c == d else 6 - c - d
            lower, upper = (4, 2, 1)[d], 0
            for value in range(4):
                if d == 0:
                    upper = value
                elif d == 1:
                    upper = 4 * (value // 2) + value % 2
                else:
                    upper = 2 * value
                one = grad[_S + (6 * upper + component) * _P + first : _S + (6 * upper + component) * _P + end]
                at = _S + (6 * (upper + lower) + component) * _P
                two = grad[at + first : at + end]
                target = grad[((3 * c + d) * 4 + value) * _P + first : ((3 * c + d) * 4 + value) * _P + end]
                for k in range(count):
                    target[k] = one[k] + two[k]


@njit(**_OPTIONS)
def _forces(grad, first, end, c, scales, rows):  # type: ignore[no-untyped-def]
    """Turn folded stresses of component ``c`` into mode forces, undo the y-modes, and carry to the next node row."""
    weight, s = scales[4], scales[3]
    rx, ry, rz = weight * scales[0], weight * scales[1], weight * scales[2]
    t = grad[12 * c * _P + first : _S]
    out = rows[2 * c * _P + first :]
    for k in range(end - first):
        x00, x01, x10, x11 = t[k], t[_P + k], t[2 * _P + k], t[3 * _P + k]
        y00, y01, y10, y11 = t[4 * _P + k], t[5 * _P + k], t[6 * _P + k], t[7 * _P + k]
        z00, z01, z10, z11 = t[8 * _P + k], t[9 * _P + k], t[10 * _P + k], t[11 * _P + k]
        m100 = rx * ((x00 + x01) + (x10 + x11))
        m010 = ry * ((y00 + y01) + (y10 + y11))
        m001 = rz * ((z00 + z01) + (z10 + z11))
        m101 = s * (rx * ((x01 - x00) + (x11 - x10)) + rz * ((z10 - z00) + (z11 - z01)))
        m110 = s * (rx * ((x10 - x00) + (x11 - x01)) + ry * ((y10 - y00) + (y11 - y01)))
        m011 = s * (ry * ((y01 - y00) + (y11 - y10)) + rz * ((z01 - z00) + (z11 - z10)))
        m111 = s * s * (rx * ((x00 - x01) + (x11 - x10)) + ry * ((y00 - y01) + (y11 - y10)))
        m111 += s * s * rz * ((z00 - z01) + (z11 - z10))
        out[k] = out[_C + k] - m010
        out[_C + k] = m010
        out[_P + k] = out[_C + _P + k] + (m001 - m011)
        out[_C + _P + k] = m001 + m011
        out[6 * _P + k] = out[_C + 6 * _P + k] + (m100 - m110)
        out[_C + 6 * _P + k] = m100 + m110
        out[7 * _P + k] = out[_C + 7 * _P + k] + (m101 - m111)
        out[_C + 7 * _P + k] = m101 + m111


@njit(**_OPTIONS)
def _exchange(kind, values, grad, packed, first, end, held, mean_share):  # type: ignore[no-untyped-def]
    """Between strain and force: store the strains, fetch the stresses, or apply the tangent."""
    count = end - first
    if kind == TANGENT:
        _rank_one(values, grad, packed, first, end, held)
        if mean_share != 0:
            _share_mean(grad[_S:], first, count, mean_share)
        return
    for g in range(8):
        for component in range(6):
            at = _S + (6 * g + component) * _P + first
            if kind == STRAIN:
                values[g, component, packed : packed + count] = grad[at : at + count]
            else:
                grad[at : at + count] = values[g, component, packed : packed + count]
    if kind == FORCE and mean_share != 0:
        _share_mean(grad[_S:], first, count, mean_share)


@njit(**_OPTIONS)
def _gauss_plane(i, kind, x, values, origin, start, runs, scales, nodes, carry, result, modes, rows, grad, held):  # type: ignore[no-untyped-def]
    """Work voxel plane ``i``; node plane i goes to ``result``, node plane i + 1 to ``carry`` (not for STRAIN)."""
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
                if kind != FORCE:
                    if have != j:
                        _gather(x, base, base + stride, block, modes, near, low, top)
                    _gather(x, base + row, base + stride + row, block, modes, far, low, top)
                for run in range(start[i * ny + j], start[i * ny + j + 1]):
                    first = max(runs[run, 0] - n0 + 1, low)
                    end = min(runs[run, 1] - n0 + 1, top)
                    if end > first:
                        packed = runs[run, 2] + first - 1 + n0 - runs[run, 0] - origin
                        if kind != FORCE:
                            for c in range(3):
                                _gradients(modes, near, far, first, end, c, scales, grad)
                            _strains(grad, first, end, scales[5])
                        _exchange(kind, values, grad, packed, first, end, held, scales[5])
                        if kind != STRAIN:
                            _gap(rows, done, first)
                            _folded(grad, first, end)
                            for c in range(3):
                                _forces(grad, first, end, c, scales, rows)
                        done = end
                near, far, have = far, near, j + 1
            if kind != STRAIN:
                if nodes[i, j, 0]:
                    _gap(rows, done, count + 1)
                    _scatter(rows, carry, result, at, stride, count)
                else:
                    for c in range(3):
                        result[at + c * stride : at + c * stride + count] = 0


@njit(**_OPTIONS)
def _gauss_slab(s, kind, x, values, origin, start, runs, scales, nodes, bounds, work, out):  # type: ignore[no-untyped-def]
    """Work one slab as :mod:`elastic_compiled` does; finished planes are added to ``out``."""
    stride = nodes.shape[1] * nodes.shape[2]
    block = nodes.shape[0] * stride
    first, end = bounds[s], bounds[s + 1]
    modes, rows = np.zeros(24 * PITCH), np.zeros(24 * PITCH)
    grad, held = np.zeros(84 * PITCH), np.zeros(8 * PITCH)
    carry = work[s, 0]
    carry[:] = 0
    for i in range(first, end):
        result = work[s, 2] if i == first else work[s, 1]
        _gauss_plane(i, kind, x, values, origin, start, runs, scales, nodes, carry, result, modes, rows, grad, held)
        if i > first and kind != STRAIN:
            _add_plane(result, i, stride, block, out)


@njit(**_OPTIONS)
def _add_plane(part, plane, stride, block, out):  # type: ignore[no-untyped-def]
    for c in range(3):
        target, source = out[c * block + plane * stride : c * block + (plane + 1) * stride], part[c * stride :]
        for k in range(stride):
            target[k] += source[k]


@njit(parallel=True, **_OPTIONS)
def gauss_pass(kind, x, values, origin, start, runs, scales, nodes, bounds, work, out):  # type: ignore[no-untyped-def]
    """Work the planes from bounds[0] to bounds[-1].

    STRAIN writes the strains of ``x`` to ``values``; FORCE adds the force of the stresses ``values`` to ``out``;
    TANGENT adds the force of the tangent ``values`` at the strains of ``x`` to ``out``.
    """
    for s in prange(bounds.size - 1):
        _gauss_slab(s, kind, x, values, origin, start, runs, scales, nodes, bounds, work, out)
    if kind != STRAIN:
        stride = nodes.shape[1] * nodes.shape[2]
        block = nodes.shape[0] * stride
        for s in range(bounds.size - 1):
            _add_plane(work[s, 2], bounds[s], stride, block, out)
            _add_plane(work[s, 0], bounds[s + 1], stride, block, out)
