"""Where the cement lies: volume, fill, contact with both endplates, symmetry; what leaked, and the heat."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vertecast.assess.settings import AssessSettings
from vertecast.assess.treated import Mask, Treated
from vertecast.core.quantities import Measured

_SUM = "sum over the simulated field"
_NO_SPREAD = "one simulation; what its inputs' errors do to it was not sampled"
ROUTES = ("basivertebral", "segmental", "cortical", "disc", "canal")
_LETTERS = {"basivertebral": "B", "segmental": "S", "cortical": "C", "disc": "D"}


def cement_outcome(treated: Treated, simulated: Mapping[str, Any], settings: AssessSettings) -> dict[str, Any]:
    """Return volume, fill, contact and symmetry of the cement in one level."""
    cells = treated.voxel_mm**3 / 1000.0
    body, cement = treated.body_after, treated.cement
    inside = float(cement[body].sum()) * cells
    injected = sum(float(v) for v in simulated.get("injected_ml", {}).values())
    filled = body & (treated.saturation >= settings.filled)
    contact = contact_shares(body, filled, settings.contact_depth, treated.voxel_mm)
    left, right = sides(treated, cement * body)
    both = min(contact.values()) >= settings.touching_share
    how = f"share of the endplate's columns with cement within {settings.contact_depth:g} mm of its bone"
    return {
        "volume_injected_ml": _seen(injected, _SUM),
        "volume_in_body_ml": _seen(inside, _SUM),
        "fill_of_body_percent": _seen(100.0 * inside / (float(body.sum()) * cells), "cement over the body's volume"),
        "endplate_contact_percent": {name: _seen(100.0 * share, how) for name, share in contact.items()},
        "touches_both_endplates": both,
        "share_at_left_percent": _share(left, right),
        "symmetry_fraction": _seen(min(left, right) / max(left, right), "smaller over larger side of the mid-plane")
        if max(left, right) > 0
        else Measured.unknown("no cement in the body").as_json(),
    }


def contact_shares(body: Mask, filled: Mask, depth: float, voxel: float) -> dict[str, float]:
    """Return the share of each endplate's columns that have cement within ``depth`` mm of the endplate."""
    columns = body.any(axis=2)
    layers = max(1, round(depth / voxel))
    found = {}
    for name, flip in (("superior", True), ("inferior", False)):
        bone, cement = (one[:, :, ::-1] if flip else one for one in (body, filled))
        first = np.argmax(bone, axis=2)
        level = np.arange(body.shape[2])
        near = (level >= first[:, :, None]) & (level < (first + layers)[:, :, None])
        found[name] = float((near & cement).any(axis=2)[columns].mean()) if columns.any() else 0.0
    return found


def sides(treated: Treated, cement: np.ndarray) -> tuple[float, float]:
    """Return the cement left and right of the body's mid-plane, in the field's own unit times cells."""
    middle = float(np.argwhere(treated.body_after)[:, 0].mean())
    share = np.clip(np.arange(cement.shape[0]) - middle + 0.5, 0.0, 1.0)[:, None, None]
    return float((cement * share).sum()), float((cement * (1.0 - share)).sum())


def leakage_outcome(simulated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cement outside the vertebra by route, and when it began."""
    volumes, onsets = simulated.get("leaked_ml", {}), simulated.get("leak_onset_s", {})
    closed = set(simulated.get("sealed_routes", ()))
    found = {
        route: Measured.unknown("the route was closed on purpose").as_json()
        if route in closed
        else _seen(float(volumes.get(route, 0.0)), _NO_SPREAD + _on_ct(route))
        for route in ROUTES
    }
    total = sum(float(volumes.get(route, 0.0)) for route in ROUTES)
    began = {
        route: _seen(float(onsets[route]), "procedure's clock at the first leak that counts")
        if onsets.get(route) is not None
        else Measured.unknown("no leak by this route that counts").as_json()
        for route in ROUTES
    }
    return {"leaked_ml": {**found, "all_routes": _seen(total, _SUM)}, "leak_onset_s": began}


def _on_ct(route: str) -> str:
    """Return the type that a leak has on CT, where there is one."""
    return f"; type {_LETTERS[route]} on CT" if route in _LETTERS else ""


def thermal_outcome(simulated: Mapping[str, Any]) -> dict[str, Any]:
    """Return temperatures, dose and depth of dead bone."""
    heat = simulated.get("heat") or {}
    names = {
        "cement_peak_degc": "no cement",
        "bone_peak_degc": "no bone beside the cement",
        "canal_peak_degc": "the canal is not on the grid",
        "disc_peak_degc": "no disc on the grid",
        "canal_cem43_min": "the canal is not on the grid",
        "necrosis_depth_mm": "no cement",
        "hard_s": "the cement was not hard when the cure ended",
    }
    words = {"hard_s": "seconds after mixing until the cement is hard"}
    return {
        name: Measured.unknown(why if heat else "the simulation followed no cure").as_json()
        if heat.get(name) is None
        else _seen(float(heat[name]), f"{words.get(name, 'highest simulated value')}; {_NO_SPREAD}")
        for name, why in names.items()
    }


def _share(left: float, right: float) -> dict[str, Any]:
    if left + right <= 0:
        return Measured.unknown("no cement in the body").as_json()
    return _seen(100.0 * left / (left + right), "left of the body's mid-plane")


def _seen(value: float, method: str) -> dict[str, Any]:
    return Measured(value, method=method).as_json()
