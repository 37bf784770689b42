"""One vertebra or one rib drawn: cortex, endplates, trabecular bone, vein foramen; labels and subregions beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.spine.phantom.arch import INFERIOR, arch_parts
from vertecast.spine.phantom.body import CORPUS, CORPUS_BORDER, Body
from vertecast.spine.phantom.canvas import Slices, Window, add_part, coverage, open_window, unite
from vertecast.spine.phantom.placement import Placed
from vertecast.spine.phantom.solids import Field, Part
from vertecast.spine.phantom.spec import Tissue

_JOINT_MM = 1.3
_BORDER_MM = 1.5
_ARCH_DENSITY = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A bone in the voxels of a block of the picture.

    Parameters
    ----------
    voxels : the block
    share : volume share of the bone
    hard : HU times volume share of all that has no texture (cortex, endplates, vein)
    marrow : HU times volume share of trabecular bone
    subregions : TPTBox numbers at the voxel centres
    """

    voxels: Slices
    share: NDArray[np.float32]
    hard: NDArray[np.float32]
    marrow: NDArray[np.float32]
    subregions: NDArray[np.int8]


def draw_vertebra(
    placed: Placed,
    above: Placed | None,
    patient_from_voxel: NDArray[np.float64],
    shape: tuple[int, int, int],
    filling: tuple[float, Tissue],
) -> Drawn | None:
    """Draw a vertebra; its upper joint faces keep clear of the lower ones of the vertebra ``above``.

    Parameters
    ----------
    filling : trabecular HU, and the tissues
    """
    own_from_voxel = np.linalg.inv(placed.patient_from_own) @ patient_from_voxel
    body, arch = Body(placed.shape), arch_parts(placed.shape)
    window = open_window([body.part(), *arch], own_from_voxel, shape)
    if window is None:
        return None
    distance, tags = unite(window, arch)
    if above is not None:
        _keep_clear(window, distance, np.linalg.inv(above.patient_from_own) @ placed.patient_from_own, above)
    hu, tissue = filling
    box = window.box_of(body.part())
    hard, marrow = _shell(distance, window.edge, (tissue.arch_thickness, tissue.cortex, hu * _ARCH_DENSITY))
    if box is not None:
        xyz = window.coordinates(box)
        own = body.distance(*xyz)
        add_part(distance, tags, box, own, CORPUS)
        tags[box][own <= 0.0] = CORPUS
        tags[box][(own <= 0.0) & (own > -_BORDER_MM)] = CORPUS_BORDER
        _fill_body(body, xyz, (distance[box], hard[box], marrow[box]), window.edge, filling)
    share = coverage(distance, window.edge)
    return _finished(window, (share, hard, marrow), tags)


def draw_solid(
    parts: Sequence[Part],
    patient_from_voxel: NDArray[np.float64],
    shape: tuple[int, int, int],
    tissue: Tissue,
) -> Drawn | None:
    """Draw an unlabelled bone given by solids in the patient's frame, such as a rib."""
    window = open_window(parts, patient_from_voxel, shape)
    if window is None:
        return None
    distance, tags = unite(window, parts)
    hard, marrow = _shell(distance, window.edge, (tissue.arch_thickness, tissue.cortex, tissue.rib_marrow))
    share = coverage(distance, window.edge)
    return _finished(window, (share, hard, marrow), tags)


def _finished(window: Window, fields: tuple[Field, Field, Field], tags: NDArray[np.int8]) -> Drawn:
    share, hard, marrow = (window.averaged(field) for field in fields)
    return Drawn(window.voxels, share, hard, marrow, np.asarray(window.central(tags), np.int8))


def _keep_clear(window: Window, distance: Field, above_from_own: NDArray[np.float64], above: Placed) -> None:
    """Cut the joint space: nothing of this bone closer than a joint's width to the arch of the vertebra above."""
    over = Window(window.voxels, window.factors, above_from_own @ window.own_from_sub)
    facets = [part for part in arch_parts(above.shape) if part.tag in INFERIOR.values()]
    for part in facets:
        box = over.box_of(part)
        if box is not None:
            gap = np.float32(_JOINT_MM) - part.distance(*over.coordinates(box))
            np.maximum(distance[box], gap, out=distance[box])


def _shell(distance: Field, edge: float, filling: tuple[float, float, float]) -> tuple[Field, Field]:
    thickness, cortex, inside = filling
    core = coverage(distance + np.float32(thickness), edge)
    hard = (coverage(distance, edge) - core) * np.float32(cortex)
    return hard, core * np.float32(inside)


def _fill_body(
    body: Body,
    xyz: tuple[Field, Field, Field],
    canvas: tuple[Field, Field, Field],
    edge: float,
    filling: tuple[float, Tissue],
) -> None:
    """Write cortex, endplates, trabecular bone and the vein into the body's part of the canvas, in place."""
    distance, hard, marrow = canvas
    hu, tissue = filling
    wall, plate = body.wall_and_plate(*xyz)
    at_plate = plate > wall
    thickness = np.where(at_plate, np.float32(tissue.endplate_thickness), np.float32(tissue.wall_thickness))
    bone = np.where(at_plate, np.float32(tissue.endplate), np.float32(tissue.cortex))
    core = coverage(distance + thickness, edge)
    vein = coverage(body.foramen(*xyz), edge)
    whole = coverage(distance, edge)
    inside = np.maximum(wall, plate) <= 0.6
    filled_hard = (whole - core) * bone * (1.0 - vein) + whole * vein * np.float32(tissue.vein)
    hard[inside] = filled_hard[inside]
    marrow[inside] = (core * (1.0 - vein) * np.float32(hu))[inside]
