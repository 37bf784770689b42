"""Plasticity of a crushable foam on a brick mesh: the Deshpande-Fleck ellipse with hardening and damage.

The stress is kept inside ``size <= Y`` with ``size**2 = (sigma_e**2 + alpha**2 sigma_m**2) / (1 + (alpha/3)**2)``;
alpha = 0 is von Mises, alpha = 3/sqrt(2) a foam that crushes without expanding sideways. ``kappa`` is the equivalent
plastic strain conjugate to ``size``; in uniaxial loading it is the axial plastic strain, whatever alpha.
Flow is associated, the update implicit (backward Euler): one scalar equation a point, solved to machine precision.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.elastic_grid import SLAB
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_points import advance_points, update_points
from vertecast.kernels.gauss import GaussPasses, RankOneTangent

_PLANES = 2 * SLAB  # voxel planes handled at a time, so that strain and stress of all points never exist at once


@dataclass(frozen=True, eq=False)
class FoamBody:
    """A brick mesh of foam.

    Parameters
    ----------
    lame, mu : (n,), MPa, the undamaged elastic constants
    strength : (n,), MPa, uniaxial yield stress; ``inf`` stays elastic for ever
    """

    mesh: BrickMesh
    lame: NDArray[np.float64]
    mu: NDArray[np.float64]
    strength: NDArray[np.float64]
    law: FoamLaw
    integration: Integration

    def __post_init__(self) -> None:
        n = self.mesh.count
        if not self.lame.shape == self.mu.shape == self.strength.shape == (n,):
            raise ParameterError(f"element fields must have shape ({n},), got {self.lame.shape}, {self.strength.shape}")
        if not (self.strength > 0).all():
            raise ParameterError(
                f"{int(np.count_nonzero(~(self.strength > 0)))} of {n} yield stresses are NaN or not positive; "
                "leave void out of the mesh and give marrow a strength"
            )

    @cached_property
    def passes(self) -> GaussPasses:
        """Strain and force at the Gauss points."""
        return GaussPasses(self.mesh, self.integration)

    def chunks(self) -> list[tuple[int, int]]:
        """Return the ranges of voxel planes that are worked on one after the other, always the same."""
        nx = self.mesh.shape[0]
        return [(i, min(i + _PLANES, nx)) for i in range(0, nx, _PLANES)]


@dataclass(frozen=True, slots=True, eq=False)
class FoamState:
    """History at the Gauss points; 224 bytes an element in float32.

    Parameters
    ----------
    plastic : (8, 6, n), plastic strain, Voigt with engineering shear
    kappa : (8, n), equivalent plastic strain
    """

    plastic: NDArray[np.floating]
    kappa: NDArray[np.floating]

    @classmethod
    def virgin(cls, count: int, dtype: type = np.float32) -> "FoamState":
        """Make the state of ``count`` elements that have never yielded."""
        return cls(np.zeros((8, 6, count), dtype), np.zeros((8, count), dtype))


def forces(
    body: FoamBody, state: FoamState, u: NDArray[np.float64], tangent: RankOneTangent | None = None
) -> NDArray[np.float64]:
    """Return the internal force (3, *nodes), N, of displacement ``u`` from ``state``; fill ``tangent`` when given."""
    law = body.law.packed()
    out = np.zeros_like(u)
    values = np.empty((8, 8, 0), np.float32) if tangent is None else tangent.values
    for planes in body.chunks():
        part = body.mesh.slab(*planes)
        if part.stop == part.start:
            continue
        strain = body.passes.strain(u, planes=planes)
        stress = np.empty_like(strain)
        update_points(
            strain,
            state.plastic[:, :, part],
            state.kappa[:, part],
            body.lame[part],
            body.mu[part],
            body.strength[part],
            law,
            stress,
            values[:, :, part] if tangent is not None else values,
            tangent is not None,
        )
        body.passes.force(stress, planes=planes, out=out)
    return out


def advanced(
    body: FoamBody, state: FoamState, u: NDArray[np.float64]
) -> tuple[FoamState, NDArray[np.float64], NDArray[np.float64]]:
    """Return the history at ``u``, and each element's stored energy and the dissipation of this step, mJ.

    Notes
    -----
    The stored energy is that of the damaged elastic strain; the dissipation counts plastic work and what the loss of
    stiffness releases.
    """
    new = FoamState(state.plastic.copy(), state.kappa.copy())
    stored, dissipated = np.zeros(body.mesh.count), np.zeros(body.mesh.count)
    law = body.law.packed()
    for planes in body.chunks():
        part = body.mesh.slab(*planes)
        if part.stop == part.start:
            continue
        strain = body.passes.strain(u, planes=planes)
        advance_points(
            strain,
            new.plastic[:, :, part],
            new.kappa[:, part],
            body.lame[part],
            body.mu[part],
            body.strength[part],
            law,
            stored[part],
            dissipated[part],
        )
    volume = float(np.prod(body.mesh.spacing))
    return new, stored * volume, dissipated * volume
