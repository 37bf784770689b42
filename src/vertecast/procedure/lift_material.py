"""The law's constants of a fractured level: stiffness, yield and tension by density, crush and tearing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.bricks import lame_parameters
from vertecast.physics.bone import BoneLaw, modulus, yield_stress
from vertecast.physics.bone_density import DensityKind, convert_density, load_conversions
from vertecast.physics.bone_yield import DeepCrush, PostYield, densification
from vertecast.procedure.fractured import FracturedLevel, Tissue

Field = NDArray[np.float64]

_ROOM = 0.02
"""Porosity that is left where the yield stress is taken as locked: closer, and the factor has no bound."""
ELASTIC = 1e3
"""MPa: yield stress of what does not yield here (discs, ligaments)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BoneConstants:
    """The law's constants of the kernel's cells.

    The number the material points carry as ``damage`` is the density before the balloon, so that compaction is known.

    Parameters
    ----------
    strength : factor on the yield stress; 1 but for sensitivity studies
    """

    level: FracturedLevel
    law: BoneLaw
    post: PostYield
    crush: DeepCrush
    kvp: float
    strength: float = 1.0

    def __call__(
        self, density: Field, damage: Field, kappa: Field, label: NDArray[np.int64], torn: Field | None = None
    ) -> Field:
        """Return (4, n), MPa: lambda, mu, yield stress, tension cut-off."""
        settings, discs, virgin = self.level.settings, self.level.discs, np.asarray(damage, float)
        young = np.full(virgin.shape, settings.ligament_modulus)
        poisson = np.full(virgin.shape, settings.ligament_poisson)
        strength, cutoff = np.full(virgin.shape, ELASTIC), np.full(virgin.shape, np.inf)
        for tissue, e, nu in (
            (Tissue.ANNULUS, discs.annulus_modulus, discs.annulus_poisson),
            (Tissue.NUCLEUS, discs.nucleus_modulus, discs.nucleus_poisson),
        ):
            young[label == tissue], poisson[label == tissue] = e, nu
        cutoff[(label == Tissue.SLACK) | (label == Tissue.EPIDURAL)] = settings.slack_tension
        own = (label == Tissue.BONE) | (label == Tissue.BAND)
        bone = own & (virgin > settings.floor_density)
        young[own], poisson[own] = settings.marrow_modulus, settings.ligament_poisson
        young[bone], poisson[bone] = modulus(virgin[bone], self.law), self.law.modulus.poisson
        young[own] *= 1.0 - self.post.stiffness_loss * self._lost(kappa[own], self.post.stiffness_scale)
        first = self.strength * yield_stress(np.maximum(virgin[own], settings.floor_density), self.law)
        strength[own] = first * self._hardened(density[own], virgin[own])
        strength[own] *= 1.0 - self.post.strength_loss * self._lost(kappa[own], self.post.strength_scale)
        cutoff[own] = first * self._tension(kappa[own], 0.0 * kappa[own] if torn is None else torn[own])
        lame, shear = lame_parameters(young, poisson)
        return np.stack([lame, shear, strength, cutoff])

    def _tension(self, kappa: Field, torn: Field) -> Field:
        """Return the tension cut-off over the first yield stress: that of whole bone, lost as it is crushed or torn.

        Parameters
        ----------
        torn : largest opening so far, as strain
        """
        settings = self.level.settings
        if not np.isfinite(settings.tension_share):
            return np.full(kappa.shape, np.inf)
        whole = settings.tension_share - settings.cutoff_share
        return np.asarray(settings.cutoff_share + whole * np.exp(-(kappa + torn) / settings.tearing_strain))

    def _lost(self, kappa: Field, scale: float) -> Field:
        """Return the share of the loss that crush has brought; not scaled to the voxel, for nothing localises here."""
        return np.asarray(1.0 - np.exp(-np.maximum(kappa - self.post.onset, 0.0) / scale))

    def _hardened(self, density: Field, virgin: Field) -> Field:
        """Return the factor by which compaction has raised the yield stress."""
        apparent = convert_density(
            virgin, DensityKind.K2HPO4, DensityKind.APPARENT, load_conversions().values, kvp=self.kvp
        )
        lock = 1.0 - apparent / self.crush.tissue_density - _ROOM
        compaction = np.clip(1.0 - virgin / np.maximum(density, 1e-9), 0.0, np.maximum(lock, 0.0))
        return densification(compaction, np.minimum(apparent, 0.9 * self.crush.tissue_density), self.crush)
