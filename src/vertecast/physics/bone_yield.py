"""Bone beyond yield: the foam's constants as data, scaled to the voxel; what deep crush leaves behind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.kernels.foam_law import FoamLaw

POST_YIELD = ("perfect", "softening", "crush")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostYield:
    """What happens to yield stress and stiffness with equivalent plastic strain; see :class:`FoamLaw`."""

    hardening: float = quantity("1", "growth of the yield stress per plastic strain, relative to first yield")
    onset: float = quantity("1", "plastic strain at which damage begins")
    strength_loss: float = quantity("1", "share of the yield stress that is lost in the end")
    strength_scale: float = quantity("1", "plastic strain over which it is lost, in a band of the length below")
    stiffness_loss: float = quantity("1", "share of the stiffness that is lost in the end")
    stiffness_scale: float = quantity("1", "plastic strain over which it is lost, in a band of the length below")
    band_length: float = quantity("mm", "height of the zone that fails, which the scales belong to")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepCrush:
    """What deep crush leaves: spring-back at rest, and hardening once the pores close."""

    recoverable_share: float = quantity("1", "share of the plastic strain that springs back at rest")
    densification_onset: float = quantity("1", "compaction at which the yield stress begins to rise")
    densification_rate: float = quantity("1", "relative rise half-way from the onset to lock-up")
    tissue_density: float = quantity("mg/mm3", "apparent density of bone without pores")
    tube_voltage: float = quantity("kV", "taken where the CT does not tell its own, to know the apparent density")


def load_post_yield(name: str = "perfect") -> Loaded[PostYield]:
    """Load ``data/bone/post_yield_<name>.toml``."""
    if name not in POST_YIELD:
        raise ParameterError(f"post-yield behaviour {name!r} does not exist; choose one of {', '.join(POST_YIELD)}")
    return load_parameters(f"bone/post_yield_{name}.toml", PostYield)


def load_deep_crush() -> Loaded[DeepCrush]:
    """Load ``data/bone/deep_crush.toml``."""
    return load_parameters("bone/deep_crush.toml", DeepCrush)


def foam_law(post: PostYield, alpha: float, voxel: float) -> FoamLaw:
    """Return the foam's constants for voxels of this edge, mm.

    Notes
    -----
    Softening gathers in one layer of voxels. So that the layer takes the same energy whatever its height, the plastic
    strain at which loss begins and over which it happens is stretched by ``band_length / voxel`` (crack band); the
    plateau gathers too, since nothing hardens. A voxel higher than the band is refused where something is
    lost: it could not resolve it, and steeper softening snaps back.

    References
    ----------
    .. [1] Bazant, Oh, Materials and Structures 16 (1983) 155: crack band theory.
    """
    loses = post.strength_loss > 0 or post.stiffness_loss > 0
    if not voxel > 0 or (loses and voxel > post.band_length):
        raise ParameterError(
            f"voxel = {voxel} mm must be positive and, with damage, not above the failing band of "
            f"{post.band_length} mm; use a finer grid or the post-yield behaviour 'perfect'"
        )
    stretch = post.band_length / voxel if loses else 1.0
    return FoamLaw(
        alpha=alpha,
        hardening=post.hardening,
        onset=post.onset * stretch,
        strength_loss=post.strength_loss,
        strength_scale=post.strength_scale * stretch,
        stiffness_loss=post.stiffness_loss,
        stiffness_scale=post.stiffness_scale * stretch,
    )


def densification(compaction: ArrayLike, apparent_density: ArrayLike, crush: DeepCrush) -> NDArray[np.float64]:
    """Return the factor on the yield stress of bone compacted by this plastic volume strain (positive: denser).

    Parameters
    ----------
    compaction : any shape, 1
    apparent_density : same shape, mg/mm³, before the crush

    Notes
    -----
    One until the onset; then it rises as (c - onset)/(lock - c) and has no bound as the pores close, at
    ``lock`` = 1 - density/tissue density. At or beyond the lock it is refused: such a compaction cannot be.
    """
    c, rho = np.broadcast_arrays(np.asarray(compaction, float), np.asarray(apparent_density, float))
    lock = 1.0 - rho / crush.tissue_density
    if (c >= lock).any():
        worst = float((c - lock).max())
        raise ParameterError(
            f"compaction exceeds the pore space by {worst:.3g} in {int((c >= lock).sum())} places; use smaller steps"
        )
    past = np.maximum(c - crush.densification_onset, 0.0)
    return np.asarray(1.0 + crush.densification_rate * past / (lock - c))
