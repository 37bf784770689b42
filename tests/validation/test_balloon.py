"""Proves: what a balloon lifts, and what is lost when it goes, beside the published bench studies; hit or miss.

The studies crushed isolated osteoporotic vertebral bodies between plates and lifted them with two balloons: no discs,
no ligaments, no arch. So does the model: the body of simple shapes (40 x 28 x 24 mm as it is after the crush). The
specimens' own density could not be read; 50 mg/cm³ stands for bone that quantitative CT calls osteoporotic (below 80).
The null models are the same bone that never tears, and the body without a crushed band. Figures: docs/validation.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from tests.procedure.simple_site import needle, simple_site

from vertecast.core.sides import Side
from vertecast.procedure.balloon import load_balloon
from vertecast.procedure.deflate import deflate
from vertecast.procedure.fractured import isolated, load_fractured, make_fractured, without_cutoff
from vertecast.procedure.inflate import RULES, BalloonStop, Inflation, inflate
from vertecast.procedure.lift import Lift, begin_lift, lie_down
from vertecast.procedure.lift_measure import rise
from vertecast.procedure.tools import place_tool

PSI = 145.038
"""Per MPa."""
DENSITY = 0.05
HEIGHT = 24.0
"""mm, of the body as the balloons meet it."""
RULES_ON = RULES - {BalloonStop.CORTEX, BalloonStop.ENDPLATE, BalloonStop.CANAL, BalloonStop.PRESSURE_FALL}
"""On a coarse grid the first cavities begin near to everything; the benches inflated to volume, pressure or height."""
WEDGE = (8.0, 4.8, 0.0)
"""mm lost: a quarter of 32 mm in front, as in Rotter 2010 and 2015."""
BELKOFF = (2.6, 2.6, 2.6)
"""mm lost by axial crush: 2.5 mm regained were 97 per cent of it (Belkoff 2001)."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One specimen on the bench: lengths mm, density mg/mm³, load N, volume mm³ pushed into each balloon."""

    voxel: float = 3.0
    density: float = DENSITY
    lost: tuple[float, float, float] = WEDGE
    load: float = 110.0
    volume: float = 2500.0
    tears: bool = True
    banded: bool = True
    hinged: bool = False
    """The plate tilts about the left-right axis alone, as on a hinge; else as on a ball."""


@cache
def inflated(bench: Bench) -> Lift:
    """Return the specimen with both balloons inflated."""
    site = simple_site(bench.voxel, bench.density, fractured=True)
    lost = bench.lost if bench.banded else (0.0, 0.0, 0.0)
    values = replace(load_fractured().values, prone_load=bench.load, standing_load=bench.load)
    level = isolated(make_fractured(site, lost, mapped=np.asarray(site.density, float), settings=values))
    if not bench.tears:
        level = without_cutoff(level)
    chosen = load_balloon().values
    tools = tuple(place_tool("xpander-15/3", needle(side, (8.0, -8.0, 2.9)), level, chosen) for side in Side)
    lift = begin_lift(level, tools, settings=chosen)
    if bench.hinged:
        held = lift.problem.constraints
        plate = replace(held.platens[0], tilts=(False, True))
        lift = replace(lift, problem=replace(lift.problem, constraints=replace(held, platens=(plate,))))
    lift = lie_down(lift)
    return inflate(lift, Inflation(volume=bench.volume, height=max(bench.lost), rules=RULES_ON))


def regained(lift: Lift, moment: str = "inflated") -> tuple[float, float, float]:
    """Return the mm regained in front, in the middle and behind."""
    return rise(lift.level, lift.moments[moment], lift.moments["prone"]).by_place


def peak_psi(lift: Lift) -> float:
    return PSI * max(max(point.pressures) for point in lift.curve)


def test_a_fracture_under_load_is_partly_reduced_by_two_balloons() -> None:
    """Quick: the loaded wedge, 1.2 mL a side; bone that never tears lifts less."""
    quick = Bench(volume=1200.0)
    lift, null = inflated(quick), inflated(replace(quick, tears=False))
    assert regained(lift)[0] > 0.3
    assert regained(lift)[0] > 1.3 * regained(null)[0]
    assert 60.0 < peak_psi(lift) < 400.0


@pytest.mark.slow
def test_lift_pressure_and_loss_of_a_loaded_wedge() -> None:
    """Globus/Kyphon bench (clinical.md [76]) and Rotter 2010: 110 N on the plate all the time."""
    lift = inflated(Bench())
    assert 138.0 <= peak_psi(lift) <= 212.0  # 175 +- 37 psi
    inside = regained(lift)[0]
    assert inside / WEDGE[0] > 0.3  # while inflated; after the operation 30 per cent are published
    gone, held = (deflate(lift, stays=stays) for stays in (False, True))
    loss = [100.0 * (inside - regained(one, "deflated")[0]) / HEIGHT for one in (gone, held)]
    assert 5.5 <= loss[0] <= 17.9  # Rotter 2010: 11.7 +- 6.2 per cent
    assert loss[1] <= 7.5  # Rotter 2010: 3.7 +- 3.8 per cent with a stent
    assert loss[0] > 2.0 * loss[1]
    # Missed: 30 per cent of the lost height are published to be left; here the balloon leaves less.
    assert regained(gone, "deflated")[0] / WEDGE[0] < 0.3


@pytest.mark.slow
def test_one_side_full_of_cement_holds_on_a_hinged_plate() -> None:
    """As in the sleeve study the other balloon stays filled meanwhile; the plate hinges on one axis."""
    lift = inflated(Bench(hinged=True))
    inside = regained(lift)[0]
    kept = regained(deflate(lift, in_turn=True), "deflated")[0]
    assert 5.5 <= 100.0 * (inside - kept) / HEIGHT <= 17.9  # Rotter 2010: 11.7 +- 6.2 per cent lost
    # Missed: 30 per cent of the lost height (13 found); more than the ball under the plate leaves (4).
    assert 0.1 < kept / WEDGE[0] < 0.3


@pytest.mark.slow
def test_lift_without_load() -> None:
    """Belkoff 2001: nothing presses on the body."""
    lift = inflated(Bench(lost=BELKOFF, load=0.0))
    share = np.mean(regained(lift)) / BELKOFF[0]
    assert 0.67 <= share <= 1.27  # 97 +- 30 per cent
    null = inflated(Bench(lost=BELKOFF, load=0.0, tears=False))  # gets there too, but needs more
    assert peak_psi(null) > peak_psi(lift)
    assert null.volumes[0] > lift.volumes[0]
