"""A treated level without a CT: a block of uniform bone in which cement lies where a test puts it."""

from dataclasses import replace

import numpy as np

from vertecast.assess.level import load_laboratory
from vertecast.assess.treated import Treated
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid

DENSITY = 0.1  # mg/mm³
ROOM = 6


def block(*, side=12, height=12, voxel=2.0, cement=None, pores=0.9, lost=None, fractured=False):
    """A block of ``side`` x ``side`` x ``height`` cells; ``cement`` marks cells inside it that are full."""
    shape = (side + 4, side + 4, height + 2 * ROOM)
    body = np.zeros(shape, bool)
    body[2:-2, 2:-2, ROOM:-ROOM] = True
    matrix = np.diag([voxel, voxel, voxel, 1.0])
    fill = np.zeros(shape)
    if cement is not None:
        fill[2:-2, 2:-2, ROOM:-ROOM] = np.where(np.broadcast_to(cement, (side, side, height)), pores, 0.0)
    density = np.full(shape, DENSITY)
    return Treated(
        level=Level.L2,
        grid=Grid.from_affine(shape, matrix),
        body=body,
        body_after=body,
        density=density,
        density_after=density,
        cement=fill,
        pores=np.full(shape, pores),
        cavity=np.zeros(shape),
        came_from=None,
        went_to=None,
        lost=lost,
        fractured=fractured,
        calibrated=True,
    )


def layers(share, *, side=12, height=12):
    """Mark the middle layers that make up this share of the height."""
    count = round(share * height)
    first = (height - count) // 2
    mask = np.zeros((side, side, height), bool)
    mask[:, :, first : first + count] = True
    return mask


def laboratory():
    """The shipped laws."""
    return load_laboratory()


def straight(lab):
    """Bench and materials whose Poisson's ratios are zero and whose caps do not give: one-dimensional mechanics."""
    pad = replace(lab.bench.pad, poisson=0.0, modulus=1e7, yield_stress=1e6, intrusion=0.0)
    bone = lab.materials.bone
    bone = replace(bone, modulus=replace(bone.modulus, poisson=0.0))
    cement = replace(lab.materials.cement, cement_poisson=0.0)
    definition = replace(lab.materials.definition, marrow_poisson=0.0)
    return replace(lab.bench, pad=pad), replace(lab.materials, bone=bone, cement=cement, definition=definition)
