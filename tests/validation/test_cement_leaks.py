"""Compares: leak mass by viscosity (Habib 2010) and the mix of leak routes (139 vertebrae) with the model's.

Values, bands and misses are listed in docs/validation/cement.md; nothing of the model was chosen to meet them. The
tests hold fast what is met.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import ndimage
from tests.procedure.simple_site import HALF, cement, needle, settings, simple_bed, simple_site, trunk

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.procedure.access import access, mix
from vertecast.procedure.bed import draw_bed
from vertecast.procedure.inject import Injection, inject
from vertecast.procedure.leaks import in_vein
from vertecast.procedure.regions import Route
from vertecast.procedure.site import Site
from vertecast.procedure.state import LevelState, State
from vertecast.procedure.stops import NOTICED, StopReason

VOXEL, DENSITY, SIDE_VOLUME = 2.0, 0.08, 2250.0  # mm, mg/mm³ (osteoporotic), mm³
SEEN_LENGTH, SEEN_VOLUME = 5.0, 20.0
"""What a CT shows: 5 mm of a filled vein outside the wall, 20 mm³ elsewhere; fixed before any draw was run."""
CEMENT_DENSITY = 1.2  # g/mL
DRAWS = 30


@dataclass(frozen=True)
class Outcome:
    """The routes by which a CT would show a leak, and the leaked mass, g."""

    routes: frozenset[Route]
    mass: float


def fractured_site(seed: int, *, cleft: bool) -> Site:
    """Return a fractured osteoporotic body of uneven density; with a cleft under the superior endplate, in front."""
    site = simple_site(VOXEL, DENSITY, fractured=True)
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(site.grid.shape), 1.5)
    density = np.clip(site.density * (1.0 + 0.4 * noise / noise.std()), 0.0, None).astype(np.float32)
    gap = np.zeros_like(site.cleft)
    if cleft:
        x, y, z = np.meshgrid(*site.lines, indexing="ij")
        lens = (x / 12.0) ** 2 + ((y + 5.0) / 8.0) ** 2 + ((z - HALF[2] + 5.0) / 2.5) ** 2 <= 1.0
        gap = lens & site.body
    return replace(site, density=density, cleft=gap)


def treated(
    seed: int, product: str, *, cleft: bool, age: float | None, rules: frozenset[StopReason], sides: tuple[Side, ...]
) -> LevelState:
    """Inject one draw."""
    bed = draw_bed(fractured_site(seed, cleft=cleft), seed)
    one = cement(product)
    state = State.before({Level.L1: bed})
    for side in sides:
        state = access(state, Level.L1, needle(side))
    state = mix(state, one, 296.15, start_age=age)
    for side in sides:
        job = Injection(level=Level.L1, side=side, volume=SIDE_VOLUME, rules=rules)
        state = inject(state, job, one, settings())
    return state.at(Level.L1)


def outcome(level: LevelState) -> Outcome:
    """Return what a CT would show."""
    assert level.flow is not None
    seen = {route for route in Route if not route.is_venous and level.leaks[route].volume >= SEEN_VOLUME}
    for drain in level.bed.drains:
        if drain.vein is not None and in_vein(drain, level.flow)[0] >= SEEN_LENGTH:
            seen.add(drain.route)
    return Outcome(frozenset(seen), level.leaked_volume / 1000.0 * CEMENT_DENSITY)


def route_mix(*, cleft: bool, draws: int = DRAWS) -> Iterator[Outcome]:
    """Treat one body after the other, both sides, with the stop rules on."""
    for seed in range(draws):
        yield outcome(
            treated(seed, "pmma-medium-viscosity", cleft=cleft, age=None, rules=NOTICED, sides=(Side.LEFT, Side.RIGHT))
        )


def bench_leak(product: str, age: float) -> float:
    """Return the leaked mass, g, of 4 mL in an even body with one drilled leak path of 3 mm diameter; nothing stops.

    As on the bench: a porous body filled with a marrow substitute, and one straight way out that starts 5 mm from the
    needle's tip. The stop rules are off.
    """
    way_out = trunk(1.5)
    bed = simple_bed(simple_site(VOXEL, DENSITY), (way_out,))
    one = cement(product)
    tool = needle(tip=(5.2, -2.2, 0.2))
    state = mix(access(State.before({Level.L1: bed}), Level.L1, tool), one, 296.15, start_age=age)
    job = Injection(level=Level.L1, side=Side.LEFT, volume=4000.0, rules=frozenset())
    return outcome(inject(state, job, one, settings()).at(Level.L1)).mass


def share(found: list[Outcome], *routes: Route) -> float:
    """Per cent of the vertebrae in which a CT shows one of the routes."""
    return 100.0 * float(np.mean([bool(one.routes & set(routes)) for one in found]))


@pytest.mark.slow
def test_low_viscosity_early_leaks_three_to_six_times_what_high_viscosity_late_does() -> None:
    thin, thick = bench_leak("pmma-low-viscosity", 210.0), bench_leak("pmma-high-viscosity", 389.0)
    assert 3.0 <= thin / thick <= 6.0


@pytest.mark.slow
def test_a_cleft_lowers_venous_leaks() -> None:
    # Published: 67.6 % without, 37.4 % with. Cortical and disc leaks do not rise here: a miss, see the page.
    without, with_cleft = (list(route_mix(cleft=cleft)) for cleft in (False, True))
    venous = (Route.BASIVERTEBRAL, Route.SEGMENTAL)
    assert 0.0 < share(with_cleft, *venous) < share(without, *venous)
