"""A vertebra with exactly known pedicles and canal: an elliptic body, two straight elliptic tubes, a ring behind."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import ScanInfo, Volume
from vertecast.spine.anatomy import Anatomy

ORDERS = tuple(itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3)))
"""The 48 ways to store one image: the order of its axes, and which run backwards."""


@dataclass(frozen=True)
class Tube:
    """One pedicle: a straight elliptic tube; the isthmus is its waist, 5 mm behind the posterior wall."""

    width: float = 8.0
    height: float = 14.0
    convergence_deg: float = 10.0
    sagittal_deg: float = 0.0
    x: float = 15.0
    z: float = 5.0
    flare: float = 0.15  # relative growth of both diameters 5 mm from the waist


@dataclass(frozen=True)
class TubeVertebra:
    """Shape in its own frame (x left, y posterior, z superior), mm."""

    half_width: float = 23.0
    half_depth: float = 16.0
    half_height: float = 13.5
    canal_half_width: float = 10.0
    canal_half_depth: float = 8.0
    lamina: float = 6.0
    bulge: float = 0.0  # mm of the wall behind its corners, a cosine hump in x and z
    left: Tube = Tube()
    right: Tube = Tube()

    def tube(self, side: Side) -> Tube:
        return self.left if side is Side.LEFT else self.right

    def isthmus(self, side: Side) -> NDArray[np.float64]:
        tube = self.tube(side)
        return np.array([side.sign * tube.x, self.half_depth * 0.8 + 5.0, tube.z])

    def axis(self, side: Side) -> NDArray[np.float64]:
        """Unit, forwards."""
        tube = self.tube(side)
        turn, rise = np.tan(np.deg2rad([tube.convergence_deg, tube.sagittal_deg]))
        forward = np.array([-side.sign * turn, -1.0, rise])
        return forward / np.linalg.norm(forward)

    def in_body(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        """An elliptic cylinder whose back is cut flat at 0.8 of its half-depth."""
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        hump = np.cos(np.clip(x / 16.0, -0.5, 0.5) * np.pi) * np.cos(
            np.clip(z / (2 * self.half_height), -0.5, 0.5) * np.pi
        )
        wall = self.half_depth * 0.8 + self.bulge * hump
        inside = (x / self.half_width) ** 2 + (np.minimum(y, 0.0) / self.half_depth) ** 2 <= 1.0
        return inside & (y <= wall) & (np.abs(z) <= self.half_height)

    def in_tubes(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        made = np.zeros(p.shape[:-1], bool)
        for side in Side:
            tube, forward = self.tube(side), self.axis(side)
            across = np.cross(forward, [0.0, 0.0, 1.0])
            across /= np.linalg.norm(across)
            away = p - self.isthmus(side)
            along = away @ forward
            grown = 1.0 + tube.flare * (along / 5.0) ** 2
            u, v = away @ across / (tube.width * grown), away @ np.cross(across, forward) / (tube.height * grown)
            made |= (u**2 + v**2 <= 0.25) & (np.abs(along) <= 9.0)
        return made

    def in_canal(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        x, y = p[..., 0] / self.canal_half_width, (p[..., 1] - self.canal_middle) / self.canal_half_depth
        return (x**2 + y**2 <= 1.0) & ~self.in_body(p)

    @property
    def canal_middle(self) -> float:
        return self.half_depth * 0.8 + self.canal_half_depth

    def in_ring(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Laminae, articular masses, transverse and spinous processes."""
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        outer = (x / (self.canal_half_width + self.lamina)) ** 2
        outer += ((y - self.canal_middle) / (self.canal_half_depth + self.lamina)) ** 2
        lamina = (outer <= 1.0) & (y >= self.canal_middle) & (np.abs(z + 1.0) <= 12.0)
        mass = np.zeros(x.shape, bool)
        for side in Side:
            centre = self.isthmus(side) - 12.0 * self.axis(side)
            mass |= ((p - centre) ** 2).sum(axis=-1) <= 9.5**2
        back = self.canal_middle + self.canal_half_depth
        spinous = (np.abs(x) <= 3.5) & (y >= back) & (y <= back + 25.0) & (np.abs(z + 5.0) <= 9.0)
        return lamina | mass | spinous

    def mirrored(self) -> "TubeVertebra":
        return replace(self, left=self.right, right=self.left)


@dataclass(frozen=True)
class Scan:
    """How a vertebra is scanned: voxels, pose, and how the array is stored."""

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)  # rotation vector, rad
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)  # voxels
    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    level: Level = Level.L1


def scan_grid(scan: Scan, low: NDArray[np.float64], high: NDArray[np.float64]) -> Grid:
    """Make a grid round a box of the world."""
    spacing = np.array(scan.spacing)
    shape = np.ceil((high - low) / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(spacing)
    matrix[:3, 3] = low + np.array(scan.shift) * spacing
    stored, first = np.eye(4), np.zeros(3)
    for place, (axis, flip) in enumerate(zip(scan.order, scan.flips, strict=True)):
        stored[:3, place] = matrix[:3, axis] * (-1.0 if flip else 1.0)
        first[axis] = shape[axis] - 1 if flip else 0
    stored[:3, 3] = (matrix @ [*first, 1.0])[:3]
    return Grid.from_affine(tuple(int(shape[axis]) for axis in scan.order), stored)


def scanned(shape: TubeVertebra, scan: Scan | None = None) -> Anatomy:
    """Label the voxels whose centre lies inside; the frame is the shape's own."""
    scan = scan or Scan()
    turn = Rotation.from_rotvec(scan.turn).as_matrix()
    origin = np.array([12.0, -140.0, 903.0])
    box = np.array(list(itertools.product((-34.0, 34.0), (-22.0, 62.0), (-24.0, 24.0)))) @ turn.T + origin
    grid = scan_grid(scan, box.min(axis=0), box.max(axis=0))
    vert_from_lps = Transform.from_axes(turn.T, origin, target=f"vert:{scan.level}", source=LPS)
    points = vert_from_lps.apply(grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1)))
    body = shape.in_body(points)
    bone = body | ((shape.in_tubes(points) | shape.in_ring(points)) & ~shape.in_canal(points))
    return Anatomy(scan.level, grid, bone, body, bone & ~body, vert_from_lps)


def ct_of(
    anatomy: Anatomy, trabecular: float = 150.0, *, noise: float = 0.0, seed: int = 0, contrast: bool | None = None
) -> Volume:
    """Make a CT of a labelled vertebra on its own grid: cortex one voxel thick, soft tissue around, white noise."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(anatomy.mask)
    hu = np.where(inner, trabecular, np.where(anatomy.mask, 500.0, 40.0))
    hu = hu + np.random.default_rng(seed).normal(0.0, noise, hu.shape) if noise else hu
    return Volume(hu.astype(np.float32), anatomy.grid, ScanInfo(modality="CT", contrast=contrast))
