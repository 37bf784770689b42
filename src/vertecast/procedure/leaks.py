"""How much cement lies outside the vertebra, by route; and how a vein tightens as cement fills it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from vertecast.kernels.flow import FlowState, Outlet
from vertecast.physics.rheology import CementRheology
from vertecast.procedure.bed import Bed, Drain
from vertecast.procedure.regions import ROUTE_OF, Route
from vertecast.procedure.state import Leak

_PLUG_STEP, _SHORTEST = 1.0, 0.1  # mm of vein; s


def leaked_by_route(bed: Bed, flow: FlowState) -> dict[Route, float]:
    """Return the cement outside the vertebra, mm³, by route: in the tissues around it, in veins, and carried away."""
    weights = (flow.saturation * bed.space.volume).ravel()
    held = np.bincount(bed.site.regions.ravel(), weights=weights, minlength=7)
    volumes = dict.fromkeys(Route, 0.0)
    for region, route in ROUTE_OF.items():
        volumes[route] += float(held[region])
    for drain in bed.drains:
        volumes[drain.route] += flow.ledger.leaked.get(drain.outlet.name, 0.0)
    return volumes


def in_vein(drain: Drain, flow: FlowState) -> tuple[float, float]:
    """Return how far cement fills a vein outside the body, mm, and how much was carried away beyond it, mm³."""
    if drain.vein is None:
        return 0.0, 0.0
    volume = flow.ledger.leaked.get(drain.outlet.name, 0.0)
    room = drain.vein.lumen_area * drain.vein.outside_length
    return min(volume, room) / drain.vein.lumen_area, max(volume - room, 0.0)


def updated_leaks(
    old: Mapping[Route, Leak], volumes: Mapping[Route, float], time: float, onset_volume: float
) -> Mapping[Route, Leak]:
    """Return the leaks with their volumes now; a leak begins when it holds ``onset_volume`` mm³."""
    new = {}
    for route, leak in old.items():
        onset = leak.onset
        if onset is None and volumes[route] >= onset_volume:
            onset = time
        new[route] = replace(leak, onset=onset, volume=volumes[route])
    return MappingProxyType(new)


def vein_outlets(bed: Bed, flow: FlowState, cement: CementRheology, stiffness: float) -> tuple[Outlet, ...]:
    """Return the outlets with the veins as full of cement as they are.

    Parameters
    ----------
    flow : the state now; its last step tells how fast each vein runs
    stiffness : MPa·s, consistency of the cement that runs there

    Notes
    -----
    The solver divides an outlet's conductance by the viscosity of what its cell holds. In the vein cement fills the
    first part and marrow the rest, so the conductance is raised by what a lumen full of cement would resist over what
    the two in series do. Cement's viscosity in the lumen is the power law's at the lumen's own shear rate, lagged by a
    step; the cell's own is taken for it.
    """
    rates = {} if flow.report is None else flow.report.outlet_rates
    return tuple(
        drain.outlet if drain.vein is None else _vein_outlet(bed, drain, flow, (cement, stiffness), rates)
        for drain in bed.drains
    )


def _vein_outlet(
    bed: Bed, drain: Drain, flow: FlowState, cement: tuple[CementRheology, float], rates: Mapping[str, float]
) -> Outlet:
    vein, cell = drain.vein, int(drain.outlet.cells[0])
    assert vein is not None
    filled, _ = in_vein(drain, flow)
    wet = float(flow.saturation.ravel()[cell])
    if wet <= 0.0 or filled >= vein.outside_length:
        return drain.outlet
    stiff = tube_viscosity(max(rates.get(drain.outlet.name, 0.0), 1e-3), vein.radius, cement[1], cement[0])
    length, thin = vein.outside_length, bed.marrow_viscosity
    gain = length / (filled + (length - filled) * thin / max(stiff, thin))
    # The cell itself has to be crossed too: half a cell of its own conductance, in series.
    half = float(bed.space.half.reshape(3, -1)[:, cell].min())
    raised = 1.0 / (1.0 / (float(drain.outlet.conductance[0]) * (1.0 + (gain - 1.0) * wet)) + half)
    return replace(drain.outlet, conductance=np.array([max(raised, float(drain.outlet.conductance[0]))]))


def plug_span(bed: Bed, flow: FlowState) -> float:
    """Return the longest step, s, in which cement fills at most a millimetre of any vein, whose resistance grows by it.

    The rate of the last step stands for the next one's, as a growing plug only slows a vein; cement takes about
    the share that it has of the outlet's cell.
    """
    span = np.inf
    if flow.report is None:
        return span
    for drain in bed.drains:
        vein = drain.vein
        if vein is None or in_vein(drain, flow)[0] >= vein.outside_length:
            continue
        wet = float(flow.saturation.ravel()[drain.outlet.cells[0]])
        rate = wet * flow.report.outlet_rates.get(drain.outlet.name, 0.0)
        if rate > 0.0:
            span = min(span, max(_PLUG_STEP * vein.lumen_area / rate, _SHORTEST))
    return float(span)


def tube_viscosity(rate: float, radius: float, consistency: float, cement: CementRheology) -> float:
    """Viscosity, MPa·s, that makes Poiseuille's law right for power-law flow of ``rate``, mm³/s, in a round lumen."""
    n = cement.power_index
    shear = np.clip(4.0 * rate / (np.pi * radius**3), cement.lowest_rate, cement.highest_rate)
    return float(consistency * ((3.0 * n + 1.0) / (4.0 * n)) ** n * shear ** (n - 1.0))
