"""What the Gauss points of a cut body carry between increments, and the constants of the cells they belong to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.bricks import BrickMesh

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Stress (8, 6, n), MPa, strain of open gaps (8, 6, n) and kappa (8, n) at the Gauss points.

    Stress and gap are two things: where a gap is open its strain says nothing about stress, and a cell whose moduli
    change, because other material came in, keeps the stress it has.
    """

    stress: Array
    gap: Array
    kappa: Array

    def strain(self, material: Array) -> Array:
        """Return the carried strain (8, 6, n), elastic and gap, in cells of ``material`` (4, n)."""
        lame, mu = material[0], material[1]
        out = self.gap.copy()
        pressure = self.stress[:, :3].sum(axis=1) / 3.0
        shift = pressure / (3.0 * lame + 2.0 * mu) - pressure / (2.0 * mu)
        for i in range(3):
            out[:, i] += self.stress[:, i] / (2.0 * mu) + shift
            out[:, 3 + i] += self.stress[:, 3 + i] / mu
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Leftover:
    """What Gauss points of cut voxels know beyond their material points: octants without points, mostly.

    It stays with the grid, is made anew in each increment, and lets a body that does not move keep its state exactly.

    Parameters
    ----------
    voxel : (m,), flat number in the grid
    rest : to be added to the means
    """

    voxel: NDArray[np.int64]
    rest: Carried

    @classmethod
    def none(cls) -> "Leftover":
        """Make an empty one."""
        return cls(np.zeros(0, np.int64), Carried(np.zeros((8, 6, 0)), np.zeros((8, 6, 0)), np.zeros((8, 0))))

    @classmethod
    def between(cls, mesh: BrickMesh, told: Carried, known: Carried) -> "Leftover":
        """Take what the Gauss points were told over what their points' means know."""
        parts = [told.stress - known.stress, told.gap - known.gap, told.kappa - known.kappa]
        some = np.zeros(mesh.count, dtype=bool)
        for part, whole in zip(parts, (told.stress, told.gap, told.kappa), strict=True):
            least = 1e-9 * max(float(np.abs(whole).max()), 1e-300)
            some |= (np.abs(part) > least).reshape(-1, mesh.count).any(axis=0)
        stress, gap, kappa = (np.ascontiguousarray(part[..., some]) for part in parts)
        return cls(np.flatnonzero(mesh.mask)[some], Carried(stress, gap, kappa))

    def added(self, mesh: BrickMesh, means: Carried) -> Carried:
        """Add it, in place, to the voxels that are still active; return the sum."""
        packed = np.full(mesh.mask.size, -1, dtype=np.int64)
        packed[np.flatnonzero(mesh.mask)] = np.arange(mesh.count)
        at = packed[self.voxel]
        still = at >= 0
        means.stress[:, :, at[still]] += self.rest.stress[:, :, still]
        means.gap[:, :, at[still]] += self.rest.gap[:, :, still]
        means.kappa[:, at[still]] = np.maximum(means.kappa[:, at[still]] + self.rest.kappa[:, still], 0.0)
        return means
