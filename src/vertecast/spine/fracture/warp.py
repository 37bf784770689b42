"""The warp of a virtual fracture: forward, backward, its Jacobian, and the checks that it is invertible."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ConvergenceError
from vertecast.core.frames import Transform
from vertecast.spine.fracture.weights import Weights

Array = NDArray[np.float64]
_TOLERANCE_MM, _REFUSED_MM, _QUICK_STEPS, _STEPS, _DIFFERENCE_MM = 2e-3, 0.1, 12, 60, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How the spine above moves and how far the body's own walls do.

    Parameters
    ----------
    hinge : (3,), mm, own frame: a point of the axis (along x) that the upper spine turns about
    turn : rad, positive when the front goes down
    drop : mm, how far the hinge itself goes down
    dent, bulge : mm
    """

    hinge: Array
    turn: float
    drop: float
    dent: float
    bulge: float

    @property
    def rotation(self) -> Array:
        """(3, 3): turns about x so that what lies in front goes down."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """A smooth, invertible map of the patient before the fracture to the patient after it.

    Below the vertebra nothing moves; above it everything moves rigidly; the vertebra between is squeezed.
    """

    own_from_lps: Transform
    weights: Weights
    motion: Motion
    _stretch: Array
    determinant: Array

    @classmethod
    def build(cls, own_from_lps: Transform, weights: Weights, motion: Motion) -> "Warp":
        """Make the warp and its Jacobian determinant on the lattice."""
        x, y, z = weights.lattice.axes
        nodes = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
        flat = nodes.reshape(-1, 3)
        values = [f.reshape(-1) for f in (weights.drop, weights.turn, weights.dent, weights.bulge)]
        moved = (flat + _displacement(flat, values, motion)).reshape(nodes.shape)
        step = weights.lattice.spacing
        columns = [np.gradient(moved, step, axis=axis) for axis in range(3)]
        jacobian = np.stack(columns, axis=-1)
        return cls(own_from_lps, weights, motion, jacobian[..., 2, 2].copy(), np.linalg.det(jacobian))

    def forward(self, points_lps: ArrayLike) -> Array:
        """Map places (n, 3) before the fracture to places after it, LPS mm."""
        return self.own_from_lps.inverse.apply(self._forward(self.own_from_lps.apply(points_lps)))

    def backward(self, points_lps: ArrayLike) -> Array:
        """Map places (n, 3) after the fracture to places before it, LPS mm.

        Raises
        ------
        ConvergenceError
            When a place is missed by more than 0.1 mm, which an invertible warp does not do.

        Notes
        -----
        Places are found to 0.002 mm, but for a few on the kinks between lattice cells, where Newton's step swings.
        """
        target = self.own_from_lps.apply(np.atleast_2d(np.asarray(points_lps, float)))
        found = self._start(target)
        lattice = self.weights.lattice
        active = np.arange(len(target))
        for step in range(_STEPS):
            here = found[active]
            miss = self._forward(here) - target[active]
            worst = np.abs(miss).max(axis=1)
            open_ones = worst > _TOLERANCE_MM
            if not open_ones.any():
                return self.own_from_lps.inverse.apply(found)
            active, here, miss = active[open_ones], here[open_ones], miss[open_ones]
            if step < _QUICK_STEPS:
                miss[:, 2] /= np.clip(lattice.sample(self._stretch, lattice.index(here)), 0.12, 4.0)
                found[active] = here - miss
            else:
                found[active] = self._newton(here, miss, target[active])
        left = float(np.abs(self._forward(found[active]) - target[active]).max())
        if left > _REFUSED_MM:
            raise ConvergenceError(
                f"{len(active)} of {len(target)} places were mapped back to {left:.3f} mm only, "
                f"limit {_REFUSED_MM} mm; ask for less loss"
            )
        return self.own_from_lps.inverse.apply(found)

    def compression(self, points_lps: ArrayLike) -> Array:
        """Return the local change of volume, after per before, at places (n, 3) before the fracture."""
        lattice = self.weights.lattice
        own = self.own_from_lps.apply(points_lps)
        inside = lattice.sample(self.determinant, lattice.index(own))
        return np.asarray(inside)

    def _newton(self, own: Array, miss: Array, target: Array) -> Array:
        """Take the best of a full and of shortened Newton steps; for the few places where the quick way swings."""
        sides = _DIFFERENCE_MM * np.eye(3)
        columns = [(self._forward(own + e) - self._forward(own - e)) / (2.0 * _DIFFERENCE_MM) for e in sides]
        step = np.linalg.solve(np.stack(columns, axis=-1), miss[..., None])[..., 0]
        trials = np.stack([own - share * step for share in (1.0, 0.6, 0.3, 0.1)])
        left = np.stack([np.abs(self._forward(trial) - target).max(axis=1) for trial in trials])
        return np.asarray(trials[left.argmin(axis=0), np.arange(len(own))])

    def _forward(self, own: Array) -> Array:
        w = self.weights
        index = w.lattice.index(own)
        values = [w.lattice.sample(field, index) for field in (w.drop, w.turn)]
        for field, size in ((w.dent, self.motion.dent), (w.bulge, self.motion.bulge)):
            values.append(w.lattice.sample(field, index) if size else np.zeros(len(own)))
        return np.asarray(own + _displacement(own, values, self.motion))

    def _start(self, target: Array) -> Array:
        """First guess: what the upper spine did, for places that it filled; else the place itself."""
        m = self.motion
        moved_back = (target - m.hinge + [0.0, 0.0, m.drop]) @ m.rotation + m.hinge
        top = self.weights.lattice.axes[2][-3]
        return np.where((moved_back[:, 2] > top)[:, None], moved_back, target)


def _displacement(own: Array, values: list[Array], motion: Motion) -> Array:
    drop, turn, dent, bulge = values
    arm = own - motion.hinge
    out = turn[:, None] * (arm @ motion.rotation.T - arm)
    out[:, 1] += motion.bulge * bulge
    out[:, 2] += motion.dent * dent - motion.drop * drop
    return np.asarray(out)
