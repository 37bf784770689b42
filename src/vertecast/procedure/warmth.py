"""Warmth of the cement while it flows: it shares its temperature with the bone it enters, ages by it, and conducts."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vertecast.physics.exotherm import CementInPlace, advance_exotherm, start_exotherm, surround_site
from vertecast.physics.rheology import ageing_rate
from vertecast.physics.thermal import Medium, thermal_fields
from vertecast.procedure.cement import Cement
from vertecast.procedure.regions import Region
from vertecast.procedure.site import Site
from vertecast.procedure.state import LevelState

HEAT_STEP = 5.0
"""s: conduction takes part this often during the injection; √(αt) is then below a voxel."""

_MEDIA = {
    Region.SOFT: Medium.SOFT,
    Region.BODY: Medium.TRABECULAR,
    Region.ARCH: Medium.CORTEX,
    Region.DISC: Medium.DISC,
    Region.CANAL: Medium.CANAL,
    Region.FORAMEN: Medium.SOFT,
    Region.NEIGHBOUR: Medium.TRABECULAR,
}


def media_codes(site: Site) -> NDArray[np.intp]:
    """(nx, ny, nz): the thermal medium of each cell of a site."""
    table = np.array([_MEDIA[Region(code)] for code in range(len(Region))])
    codes = table[site.regions]
    codes[site.cleft] = Medium.CAVITY
    return np.asarray(codes, np.intp)


def warmed(level: LevelState, span: float, cement: Cement) -> LevelState:
    """Return the level after cement and bone have shared their warmth and the cement has aged by ``span`` seconds.

    Cement and the rest of its cell come to one temperature, which keeps the heat of both; pores are about a millimetre
    wide, so that takes a second. Conduction between cells, and the cure's own heat, follow every :data:`HEAT_STEP`.
    """
    flow = level.flow
    assert flow is not None
    wet = flow.saturation > 0.0
    laws = cement.exotherm
    fraction = np.minimum(flow.saturation[wet], 1.0) * level.bed.porosity[wet]
    _, whole = thermal_fields(media_codes(level.bed.site)[wet], fraction, laws.media, laws.cement)
    own = fraction * laws.cement.density * laws.cement.specific_heat
    temperature = np.array(level.temperature)
    both = (own * flow.carried["temperature"][wet] + (whole - own) * temperature[wet]) / whole
    temperature[wet] = both
    age = np.array(flow.carried["age"])
    age[wet] += ageing_rate(both, cement.rheology) * span
    carried = np.zeros_like(temperature)
    carried[wet] = both
    level = replace(level, flow=flow.with_carried(age=age, temperature=carried), temperature=temperature)
    waited = level.waited + span
    return conducted(replace(level, waited=waited), cement) if waited >= HEAT_STEP else replace(level, waited=waited)


def conducted(level: LevelState, cement: Cement) -> LevelState:
    """Advance conduction and cure by the time they are behind the flow."""
    flow = level.flow
    if flow is None or level.waited <= 0.0:
        return level
    laws, site = cement.exotherm, level.bed.site
    grid = surround_site(site.grid.shape, site.grid.spacing, laws)
    heat = level.heat or start_exotherm(grid, laws)
    heat = heat.with_temperature(level.temperature)
    conversion = np.where(flow.saturation > 0.0, flow.carried["conversion"], laws.cure.kinetics.start)
    heat = heat.with_cement(conversion, heat.reached)
    place = CementInPlace(grid, media_codes(site), np.clip(level.cement_fraction, 0.0, 1.0))
    heat = advance_exotherm(place, heat, heat.time + level.waited, laws).state
    wet = flow.saturation > 0.0
    flow = flow.with_carried(
        temperature=np.where(wet, heat.temperature, 0.0), conversion=np.where(wet, heat.conversion, 0.0)
    )
    return replace(level, flow=flow, heat=heat, temperature=np.array(heat.temperature), waited=0.0)


def rested(level: LevelState, seconds: float, cement: Cement) -> LevelState:
    """Return the level after a pause without flow: the cement in it ages, cures and warms."""
    flow = level.flow
    if flow is None or seconds <= 0.0:
        return level
    wet = flow.saturation > 0.0
    age = np.array(flow.carried["age"])
    age[wet] += ageing_rate(level.temperature[wet], cement.rheology) * seconds
    return conducted(replace(level, flow=flow.with_carried(age=age), waited=level.waited + seconds), cement)
