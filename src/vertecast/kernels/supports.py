"""Pieces of a body and whether each is held: a loose one is found before the solve, by name."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.kernels.bricks import BrickMesh, corners_of
from vertecast.kernels.constraints import FIXED, Constraints, Sides


def pieces_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the face-connected pieces of a mask from 1; what meets only at an edge or a corner is a hinge, so apart."""
    labels, count = ndimage.label(mask)
    return np.asarray(labels, dtype=np.int32), int(count)


def _rigid_rows(component: int, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return u_component of the six rigid motions (three shifts, three turns) at each position; (n, 6)."""
    rows = np.zeros((position.shape[0], 6))
    rows[:, component] = 1
    for turn in range(3):
        if turn != component:
            other = 3 - turn - component
            sign = 1.0 if (component - turn) % 3 == 1 else -1.0
            rows[:, 3 + turn] = -sign * position[:, other]
    return rows


def held_pieces(mesh: BrickMesh, constraints: Constraints, labels: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Tell for each piece whether no rigid motion of it is left, platens moving as they may; (count,)."""
    kinds = constraints.kinds(mesh)
    motions = 3 * len(constraints.platens)
    size = max(h * n for h, n in zip(mesh.spacing, mesh.shape, strict=True))
    boxes = ndimage.find_objects(labels)
    grams = []
    for number, box in enumerate(boxes, start=1):
        window = tuple(slice(s.start, s.stop + 1) for s in box)
        nodes = corners_of(labels[box] == number)
        gram = np.zeros((6 + motions, 6 + motions))
        for component in range(3):
            kind = np.where(nodes, kinds[component][window], 0)
            for value in np.unique(kind[kind > 0]):
                place = np.argwhere(kind == value) + [s.start for s in box]
                position = place * np.asarray(mesh.spacing) / size
                rows = np.zeros((place.shape[0], 6 + motions))
                rows[:, :6] = _rigid_rows(component, position)
                if value > FIXED:
                    rows[:, 6:] = -_platen_rows(constraints, int(value) - 2, component, position, size)
                gram += np.einsum("ni,nj->ij", rows, rows)
        grams.append(gram)
    return _without_null_motion(grams, constraints)


def _platen_rows(
    constraints: Constraints, number: int, component: int, position: NDArray[np.float64], size: float
) -> NDArray[np.float64]:
    """Return u_component of each platen motion at the positions (divided by ``size``); (n, 3 * platens)."""
    platen = constraints.platens[number]
    rows = np.zeros((position.shape[0], 3 * len(constraints.platens)))
    lever = position - np.asarray(platen.point) / size
    for slot, axis in enumerate(platen.across):
        if component == platen.axis:
            rows[:, 3 * number + 1 + slot] = lever[:, axis]
        elif component == axis and platen.sides is Sides.BONDED:
            rows[:, 3 * number + 1 + slot] = -lever[:, platen.axis]
    if component == platen.axis and platen.force is not None:
        rows[:, 3 * number] = 1.0
    return rows


def _without_null_motion(grams: list[NDArray[np.float64]], constraints: Constraints) -> NDArray[np.bool_]:
    """Rank of the supports: pieces on free platens are judged together, the others each on its own."""
    motions = 3 * len(constraints.platens)
    held = np.array([_full_rank(gram[:6, :6]) for gram in grams])
    joint = [i for i, gram in enumerate(grams) if motions and np.any(gram[6:, 6:])]
    if joint and held[joint].all():
        total = np.zeros((6 * len(joint) + motions,) * 2)
        for slot, i in enumerate(joint):
            mine = slice(6 * slot, 6 * slot + 6)
            total[mine, mine] = grams[i][:6, :6]
            total[mine, 6 * len(joint) :] = grams[i][:6, 6:]
            total[6 * len(joint) :, mine] = grams[i][6:, :6]
            total[6 * len(joint) :, 6 * len(joint) :] += grams[i][6:, 6:]
        used = np.diag(total) > 0
        held[joint] = _full_rank(total[np.ix_(used, used)])
    return held


def _full_rank(gram: NDArray[np.float64]) -> bool:
    """Tell whether a Gram matrix is regular after scaling to a unit diagonal."""
    diagonal = np.diag(gram)
    if np.any(diagonal <= 0):
        return False
    scale = 1 / np.sqrt(diagonal)
    return bool(np.linalg.eigvalsh(scale[:, None] * gram * scale)[0] > 1e-9)


def held_voxels(mesh: BrickMesh, constraints: Constraints) -> NDArray[np.bool_]:
    """Return the active voxels of the pieces that are held; (nx, ny, nz). The rest may be left out before the solve."""
    labels, count = pieces_of(mesh.mask)
    held = np.concatenate([[False], held_pieces(mesh, constraints, labels, count)])
    return np.asarray(held[labels])


def require_held(mesh: BrickMesh, constraints: Constraints) -> None:
    """Refuse a body, or any piece of it, that could move freely."""
    labels, count = pieces_of(mesh.mask)
    held = held_pieces(mesh, constraints, labels, count)
    if held.all():
        return
    loose = int(np.flatnonzero(~held)[0]) + 1
    voxels = np.argwhere(labels == loose)
    if count == 1:
        raise GeometryError(
            f"the body of {mesh.count} voxels is not held against all six rigid motions; "
            f"fix more displacements or use a platen"
        )
    raise GeometryError(
        f"{int((~held).sum())} of {count} disconnected pieces are not held; the first has {len(voxels)} voxels from "
        f"{tuple(int(v) for v in voxels[0])}; hold it, or leave it out with held_voxels"
    )
