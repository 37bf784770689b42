"""The fields of a finished level, as they are kept: on the site's grid, in clinical units where the name says so."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.sides import Side
from vertecast.procedure.cement import Cement
from vertecast.procedure.cure import CureSettings, heat_of
from vertecast.procedure.events import EventKind
from vertecast.procedure.leaks import in_vein
from vertecast.procedure.regions import Route
from vertecast.procedure.state import LevelState, State

_CELSIUS = 273.15


def level_fields(level: LevelState) -> dict[str, tuple[NDArray[Any], str]]:
    """Return the arrays of one level by file stem, each with what it holds; NaN where a time has not come."""
    site = level.bed.site
    arrival = np.where(np.isfinite(level.arrival), level.arrival, np.nan)
    fields: dict[str, tuple[NDArray[Any], str]] = {
        "cement_arrival_s": (arrival, "when cement first reached each voxel, s on the procedure's clock"),
        "cement_fraction": (level.cement_fraction, "volume of cement per volume of voxel"),
        "pore_fraction": (level.bed.porosity, "volume that cement can take per volume of voxel"),
        "regions": (np.asarray(site.regions), "0 soft, 1 body, 2 arch, 3 disc, 4 canal, 5 foramen, 6 neighbour"),
        "density_k2hpo4_mg_cm3": (1000.0 * site.density, "density of the bone before, K2HPO4-equivalent"),
    }
    if level.heat is not None:
        heat = level.heat
        hard = np.where(np.isfinite(heat.time_hard), heat.time_hard, np.nan)
        fields |= {
            "peak_temperature_degc": (heat.peak - _CELSIUS, "highest temperature of each voxel"),
            "cure_fraction": (np.where(level.cement_fraction > 0, heat.conversion, 0.0), "conversion at the end"),
            "hard_s": (hard, "when the cement was hard, s after the level's first cement"),
            "cem43_min": (heat.cem43 / 60.0, "thermal dose, equivalent minutes at 43 degC"),
            "damage_omega": (heat.omega, "Arrhenius damage integral; bone is dead from 1"),
        }
    return {name: (np.asarray(a, a.dtype if a.dtype == np.uint8 else np.float32), s) for name, (a, s) in fields.items()}


def level_summary(state: State, level: LevelState, cement: Cement, settings: CureSettings) -> dict[str, Any]:
    """Return one level's entry of ``simulation.json``."""
    site, bed, flow = level.bed.site, level.bed, level.flow
    summary: dict[str, Any] = {
        "voxel_mm": site.voxel_mm,
        "calibrated": site.calibrated,
        "body_volume_ml": site.body_volume / 1000.0,
        "body_pores_ml": bed.body_pores / 1000.0,
        "cement": cement.name,
        "injected_ml": {str(side): level.injected[side] / 1000.0 for side in Side if side in level.injected},
        "leaked_ml": {route.name.lower(): level.leaks[route].volume / 1000.0 for route in Route},
        "leak_onset_s": {route.name.lower(): level.leaks[route].onset for route in Route},
        "peak_syringe_pressure_bar": 10.0 * level.peak_pressure,
        "sealed_routes": sorted(route.name.lower() for route in bed.sealed),
    }
    if flow is None:
        return summary
    cells = site.voxel_mm**3
    fraction = level.cement_fraction
    summary |= {
        "cement_in_body_ml": float(fraction[site.body].sum()) * cells / 1000.0,
        "cement_in_vertebra_ml": float(fraction[site.own].sum()) * cells / 1000.0,
        "fill_of_body_percent": 100.0 * float(fraction[site.body].sum()) * cells / site.body_volume,
        "needle_ml": sum(flow.ledger.needle.values()) / 1000.0,
        "drained_marrow_ml": sum(flow.ledger.drained.values()) / 1000.0,
        "carried_away_ml": sum(in_vein(drain, flow)[1] for drain in bed.drains) / 1000.0,
        "centroid_lps_mm": _centroid(level),
    }
    if level.cured and state.mixed_at is not None:
        summary["heat"] = heat_json(level, settings, state, cement)
    return summary


def heat_json(level: LevelState, settings: CureSettings, state: State, cement: Cement) -> dict[str, Any]:
    """Return the level's heat, with null and no number where there is none."""
    heat = heat_of(level, settings, mixed_for(state, level), cement)
    values = {name: getattr(heat, name) for name in heat.__slots__}
    return {name: None if v is None or not np.isfinite(v) else float(v) for name, v in values.items()}


def mixed_for(state: State, level: LevelState) -> float:
    """Return when a level's cement was mixed: the last mixing before its injection ended, s of the procedure's clock.

    A session of several levels mixes anew for each; what the state remembers is the last.
    """
    assert state.mixed_at is not None
    assert level.ended is not None
    mixed = (event.t_s for event in state.stream() if event.kind is EventKind.CEMENT_MIXED)
    return max((t for t in mixed if t <= level.ended), default=state.mixed_at)


def _centroid(level: LevelState) -> list[float] | None:
    """Return the centroid of the cement inside the body, LPS mm."""
    weights = np.where(level.bed.site.body, level.cement_fraction, 0.0)
    total = float(weights.sum())
    if total <= 0.0:
        return None
    places = np.argwhere(weights > 0.0)
    middle = (places * weights[tuple(places.T)][:, None]).sum(axis=0) / total
    return [float(v) for v in level.bed.site.grid.to_lps(middle)]
