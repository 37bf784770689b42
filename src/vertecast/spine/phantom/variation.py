"""Random but plausible phantoms: size, shape, density and pose drawn about the normal tables."""

from dataclasses import dataclass, replace

import numpy as np

from vertecast.core.levels import Level
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.spine.phantom.levels import LevelShape, normal_shape
from vertecast.spine.phantom.spec import PhantomSpec, Scan, level_range

_CUT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Standard deviations of the draws; relative where the unit is 1."""

    size: float = quantity("1", "the whole person")
    height: float = quantity("1", "one vertebra's height")
    girth: float = quantity("1", "one vertebra's width and depth")
    wedge: float = quantity("deg", "wedge of a body")
    concavity: float = quantity("1", "depth of an endplate")
    pedicle_size: float = quantity("1", "width and height of a pedicle")
    pedicle_angle: float = quantity("deg", "medial angle of a pedicle")
    canal: float = quantity("1", "width and depth of the canal")
    disc_height: float = quantity("1", "height of a disc")
    disc_angle: float = quantity("deg", "lordosis of a disc")
    density_mean: float = quantity("mg/cm3", "mean of the L1 density")
    density: float = quantity("mg/cm3", "L1 density")
    density_level: float = quantity("1", "one vertebra's density")
    scoliosis: float = quantity("deg", "Cobb angle")
    pose: float = quantity("deg", "pose about each axis")
    position: float = quantity("mm", "position along each axis")


def load_variation() -> Loaded[Variation]:
    """Load ``data/phantom/variation.toml``."""
    return load_parameters("phantom/variation.toml", Variation)


def random_spec(
    rng: np.random.Generator, first: Level = Level.T10, last: Level = Level.L5, *, scan: Scan | None = None
) -> PhantomSpec:
    """Draw a plausible spine from ``first`` to ``last``; the same generator state gives the same spine."""
    spread = load_variation().values
    size, female = 1.0 + spread.size * _draw(rng), float(rng.random())
    shapes = tuple(
        _varied(normal_shape(level, female_share=female).scaled(size), rng, spread)
        for level in level_range(first, last)
    )
    return PhantomSpec(
        shapes=shapes,
        density_l1_mg_cm3=max(40.0, spread.density_mean + spread.density * _draw(rng)),
        scoliosis_deg=spread.scoliosis * _draw(rng),
        pose_deg=(spread.pose * _draw(rng), spread.pose * _draw(rng), spread.pose * _draw(rng)),
        position_lps_mm=(spread.position * _draw(rng), spread.position * _draw(rng), spread.position * _draw(rng)),
        scan=scan or Scan(),
    )


def _draw(rng: np.random.Generator) -> float:
    """One standard normal number, cut."""
    return float(np.clip(rng.standard_normal(), -_CUT, _CUT))


def _varied(shape: LevelShape, rng: np.random.Generator, spread: Variation) -> LevelShape:
    wide, deep = 1.0 + spread.girth * _draw(rng), 1.0 + spread.girth * _draw(rng)
    factors = {
        "height_posterior_mm": 1.0 + spread.height * _draw(rng),
        "width_superior_mm": wide,
        "width_inferior_mm": wide,
        "depth_superior_mm": deep,
        "depth_inferior_mm": deep,
        "concavity_superior_mm": 1.0 + spread.concavity * _draw(rng),
        "concavity_inferior_mm": 1.0 + spread.concavity * _draw(rng),
        "pedicle_width_mm": 1.0 + spread.pedicle_size * _draw(rng),
        "pedicle_height_mm": 1.0 + 0.5 * spread.pedicle_size * _draw(rng),
        "canal_width_mm": 1.0 + spread.canal * _draw(rng),
        "canal_depth_mm": 1.0 + spread.canal * _draw(rng),
        "disc_height_mm": 1.0 + spread.disc_height * _draw(rng),
        "trabecular_ratio": 1.0 + spread.density_level * _draw(rng),
    }
    shifts = {
        "wedge_deg": spread.wedge * _draw(rng),
        "pedicle_medial_deg": spread.pedicle_angle * _draw(rng),
        "disc_lordosis_deg": spread.disc_angle * _draw(rng),
    }
    changed = {name: factor * getattr(shape, name) for name, factor in factors.items()}
    changed |= {name: shift + getattr(shape, name) for name, shift in shifts.items()}
    return replace(shape, **changed)
