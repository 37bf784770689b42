"""Proves: the fractured state holds what was lost, tools refuse what does not fit, and every response bites.

All on a vertebra of simple shapes at 3 mm, with one tool: coarse, but each comparison is between two runs that differ
in one thing only.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.procedure.simple_site import needle, simple_site

from vertecast.core.errors import GeometryError, InputError, ParameterError
from vertecast.core.sides import Side
from vertecast.kernels.cavity import WalkControl
from vertecast.procedure.balloon import BalloonSettings, Family, Skin, load_balloon, tool_axes
from vertecast.procedure.deflate import deflate
from vertecast.procedure.fractured import (
    DiscGrade,
    FracturedLevel,
    Tissue,
    crushed_band,
    load_fractured,
    make_fractured,
    without_cutoff,
)
from vertecast.procedure.inflate import RULES, BalloonStop, Inflation, inflate
from vertecast.procedure.lift import Lift, begin_lift, lie_down
from vertecast.procedure.lift_measure import Neighbour, clearances, contact_pressures, lift_map, rise
from vertecast.procedure.lift_outcome import compaction, site_after
from vertecast.procedure.tools import Force, place_tool

LOST = (8.0, 8.0, 8.0)
FREE = RULES - {BalloonStop.CORTEX, BalloonStop.ENDPLATE, BalloonStop.CANAL}
"""A cavity of 1.5 voxels begins too near to everything on this grid."""
TIP = (6.0, -5.0, 2.0)


@cache
def fractured(lost: tuple[float, float, float] = LOST) -> FracturedLevel:
    site = simple_site(3.0, 0.07, fractured=True)
    return make_fractured(site, lost, mapped=np.asarray(site.density, float))


def settings(**changed: float) -> BalloonSettings:
    return replace(load_balloon().values, **changed)


def inflated(
    level: FracturedLevel | None = None,
    *,
    tool: str = "xpander-15/3",
    volume: float = 1400.0,
    strength: float = 1.0,
    load: float | None = None,
    **changed: float,
) -> Lift:
    level, chosen = level or fractured(), settings(**changed)
    placed = place_tool(tool, needle(tip=TIP), level, chosen)
    lift = lie_down(begin_lift(level, (placed,), settings=chosen, strength=strength, load=load))
    return inflate(lift, Inflation(volume=volume, rules=FREE))


def lying(level: FracturedLevel, **changed: float) -> Lift:
    chosen = settings(**changed)
    return lie_down(begin_lift(level, (place_tool("xpander-15/3", needle(tip=TIP), level, chosen),), settings=chosen))


@pytest.fixture(scope="module")
def usual() -> Lift:
    return inflated()


def gained(lift: Lift, moment: str = "inflated") -> float:
    return rise(lift.level, lift.moments[moment], lift.moments["prone"]).middle


def pressure_at(lift: Lift, volume: float) -> float:
    """Pressure, MPa, by interpolation at a cavity volume, mm³."""
    return float(np.interp(volume, [p.volumes[0] for p in lift.curve], [p.pressures[0] for p in lift.curve]))


def test_the_band_lies_under_the_superior_endplate_where_height_was_lost() -> None:
    site = simple_site(2.0, 0.07)
    values = load_fractured().values
    band = crushed_band(site, (9.0, 5.0, 0.0), values)
    x, y, z = np.meshgrid(*site.lines, indexing="ij")
    assert band.any()
    assert z[band].min() > 0.0
    assert z[band].max() < 12.0 - values.endplate_depth + 1.0
    assert y[band].max() < 12.0  # none behind, where nothing was lost
    assert not crushed_band(site, (0.0, 0.0, 0.0), values).any()
    # a column that lost 9 mm at a strain of 0.75 keeps 3 mm
    front = (y < -8.0) & (np.abs(x) < 6.0)
    columns = (band & front).sum(axis=2)
    assert 2.0 * columns[columns > 0].mean() == pytest.approx(3.0, abs=2.0)


def test_both_densities_are_reported_and_the_neighbours_is_used() -> None:
    site = simple_site(3.0, 0.07)
    mapped = 1.5 * np.asarray(site.density, float)
    level = make_fractured(site, LOST, mapped=mapped)
    assert level.density_ct == pytest.approx(0.07)
    assert level.density_mapped == pytest.approx(0.105)
    assert level.density[level.tissue == Tissue.BAND] == pytest.approx(0.105)
    alone = make_fractured(site, LOST)
    assert alone.density_mapped is None
    assert "no intact neighbour" in alone.warnings[0]
    assert make_fractured(site, LOST, grade=DiscGrade.DEGENERATED).discs.nucleus_modulus > alone.discs.nucleus_modulus


def test_every_tissue_is_there_and_the_neighbours_hold_it() -> None:
    level = fractured()
    assert set(np.unique(level.tissue)) == {int(t) for t in Tissue} - {Tissue.LIGAMENT}  # all columns lost height
    assert (fractured((8.0, 4.0, 0.0)).tissue == Tissue.LIGAMENT).any()
    assert level.upper.any()
    assert level.lower.any()
    assert not (level.upper & level.lower).any()


@pytest.mark.parametrize(
    ("family", "volume"), [(Family.PROLATE, 900.0), (Family.PROLATE, 3000.0), (Family.CYLINDER, 1500.0),
                           (Family.PLATES, 1500.0), (Family.BALL, 900.0)]
)  # fmt: skip
def test_a_free_shape_holds_its_volume_and_has_a_true_wall(family: Family, volume: float) -> None:
    axes = tool_axes(np.array([0.3, -1.0, 0.2]))
    skin = Skin(
        family=family,
        centre=np.zeros(3),
        axes=axes,
        length=15.0,
        width=8.0,
        rated_volume=4000.0,
        resting=0.1,
        stiffness=1.0,
    )
    lines = np.arange(-16.0, 16.01, 0.4)
    places = np.stack(np.meshgrid(lines, lines, lines, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = (skin.outside(places, volume) < 0).sum() * 0.4**3
    assert inside == pytest.approx(volume, rel=0.03)
    tip = 0.5 * skin.size(volume)[0] * axes[0]
    assert skin.outside(tip[None], volume) == pytest.approx(0.0, abs=1e-9)
    assert skin.outside(1.5 * tip[None], volume) == pytest.approx(0.5 * np.linalg.norm(tip), rel=0.35)
    assert skin.resting_pressure(2000.0) == pytest.approx(0.05)


def test_tools_that_do_not_fit_are_refused() -> None:
    level, usual_settings = fractured(), settings()
    with pytest.raises(InputError, match="is not in the catalogue"):
        place_tool("xpander-99", needle(tip=TIP), level, usual_settings)
    with pytest.raises(GeometryError, match="in a body of"):
        small = simple_site(3.0, 0.07)
        tall = replace(
            small, regions=np.where(np.abs(small.lines[0])[:, None, None] > 7.0, 0, small.regions).astype(np.uint8)
        )
        place_tool("jack-4.2", needle(tip=(3.0, -5.0, 2.0)), make_fractured(_cut(tall), LOST), usual_settings)
    with pytest.raises(GeometryError, match="at rest"):
        place_tool("xpander-20/3", needle(tip=(6.0, 12.0, 2.0)), level, usual_settings)
    with pytest.raises(ParameterError, match="along the axis of the body"):
        tool_axes(np.array([0.0, 0.0, 1.0]))
    with pytest.raises(ParameterError, match="must be above 0"):
        Inflation(volume=0.0)


def _cut(site):  # type: ignore[no-untyped-def]
    """Return the site with a body that is only 24 mm deep and narrow."""
    y = site.lines[1]
    return replace(site, regions=np.where((np.abs(y) > 9.0)[None, :, None], 0, site.regions).astype(np.uint8))


def test_a_flat_body_is_refused() -> None:
    site = simple_site(3.0, 0.07)
    flat = np.where((np.abs(site.lines[2]) > 4.0)[None, None, :] & (site.regions == 1), 3, site.regions)
    with pytest.raises(GeometryError, match="vertebra plana"):
        make_fractured(replace(site, regions=flat.astype(np.uint8)), LOST)


def test_an_inflated_balloon_lifts_and_part_is_lost_when_it_is_let_go(usual: Lift) -> None:
    assert usual.ended == {Side.LEFT: "target_volume"}
    assert gained(usual) > 0.1
    assert 0.3 < usual.curve[-1].pressures[0] < 4.0
    field = lift_map(usual.level, usual.state, usual.moments["prone"])
    assert np.nanmax(field) >= gained(usual)
    down = deflate(usual)
    assert down.state.pressures == (pytest.approx(0.0, abs=1e-9),)
    assert gained(down, "deflated") < gained(usual)
    assert down.volumes[0] < usual.volumes[0]


def test_weaker_bone_needs_less_pressure_and_stronger_more(usual: Lift) -> None:
    weak, strong = inflated(strength=0.5, volume=1000.0), inflated(strength=2.0, volume=1000.0)
    at = 900.0
    assert pressure_at(weak, at) < 0.8 * pressure_at(usual, at)
    assert pressure_at(strong, at) > 1.25 * pressure_at(usual, at)


def test_a_balloon_that_takes_all_the_fluid_itself_lifts_nothing(usual: Lift) -> None:
    soft = inflated(line_compliance=1e9)
    assert soft.ended == {Side.LEFT: "target_volume"}
    assert gained(soft) == 0.0
    assert gained(usual) > 0.1
    assert soft.curve[-1].injected == (1400.0,)
    assert soft.volumes == lying(fractured(), line_compliance=1e9).volumes


def test_a_band_that_holds_in_tension_lifts_less(usual: Lift) -> None:
    assert gained(inflated(without_cutoff(fractured()))) < 0.8 * gained(usual)


def test_a_tool_that_stays_keeps_what_a_balloon_loses(usual: Lift) -> None:
    """The same inflated state, only the stay rule changed; a stiff tool that recoils next to nothing."""
    stiff = replace(usual, settings=replace(usual.settings, stent_recoil=1e-3))
    kept, lost = deflate(stiff, stays=True), deflate(stiff, stays=False)
    assert gained(kept, "deflated") > gained(lost, "deflated")
    assert kept.state.pressures[0] > 0.0
    assert contact_pressures(kept.tools, kept.level, kept.state)[0][1] > 0.0


def test_rated_pressure_and_lost_height_end_an_inflation() -> None:
    level, chosen = fractured(), settings()
    tool = replace(place_tool("xpander-15/3", needle(tip=TIP), level, chosen), rated_pressure=1.0)
    lift = lie_down(begin_lift(level, (tool,), settings=chosen))
    ended = inflate(lift, Inflation(volume=3000.0, rules=FREE))
    assert ended.ended == {Side.LEFT: "rated_pressure"}
    assert ended.curve[-1].pressures[0] >= 1.0
    free = replace(lift, tools=(replace(tool, rated_pressure=None),))
    assert inflate(free, Inflation(volume=3000.0, height=0.05, rules=FREE)).ended == {Side.LEFT: "target_height"}
    near = clearances(level, lift.state)[0]
    assert near[Neighbour.CORTEX] < 12.0
    assert inflate(free, Inflation(volume=3000.0)).ended[Side.LEFT] in {"cortex_distance", "canal_distance"}


def test_a_balloon_that_touches_the_canal_at_rest_is_refused() -> None:
    with pytest.raises(GeometryError, match="touches the canal at rest"):
        place_tool("xpander-15/3", needle(tip=(3.0, 0.5, 2.0)), fractured(), settings())


def test_a_target_beyond_reach_ends_at_the_rated_volume_and_is_told() -> None:
    level, chosen = fractured(), settings()
    tool = place_tool("xpander-15/3", needle(tip=TIP), level, chosen)
    small = replace(tool, skin=replace(tool.skin, rated_volume=850.0))
    lift = lie_down(begin_lift(level, (small,), settings=chosen))
    ended = inflate(lift, Inflation(volume=3000.0, height=8.0, angle=1.0, rules=FREE))
    assert ended.ended == {Side.LEFT: "rated_volume"}
    assert any("of the 8.0 mm of height asked for" in note for note in ended.notes)
    assert any("degrees asked for" in note for note in ended.notes)


def test_where_no_equilibrium_is_found_the_last_good_state_is_kept_and_told() -> None:
    level, chosen = fractured(), settings()
    lift = lie_down(begin_lift(level, (place_tool("xpander-15/3", needle(tip=TIP), level, chosen),), settings=chosen))
    hopeless = WalkControl(iterations=1, tolerance=1e-9, cuts=1)
    ended = inflate(lift, Inflation(volume=3000.0, rules=FREE), control=hopeless)
    assert ended.ended == {Side.LEFT: "no_equilibrium"}
    assert ended.volumes == lift.volumes
    assert gained(ended) == 0.0
    stuck = deflate(ended, control=hopeless)
    assert any("found no equilibrium below" in note and "last good state" in note for note in stuck.notes)


def test_a_curette_cuts_and_does_not_lift() -> None:
    cut = inflated(tool="curette")
    assert cut.tools[0].force is Force.CUTTING
    assert cut.curve == ()
    assert gained(cut) == 0.0
    assert site_after(cut, cut.level.site).cleft.any()


def test_the_bone_is_denser_after_and_the_cavity_open(usual: Lift) -> None:
    denser = compaction(usual)
    own = usual.level.body
    assert denser[own].max() > 1.1
    after = site_after(usual, usual.level.site)
    assert after.cleft.sum() * 27.0 == pytest.approx(usual.volumes[0], rel=0.35)
    assert (after.regions[after.cleft] == 1).all()


def test_these_checks_can_fail(usual: Lift) -> None:
    """The same run again gives the same numbers: what differs between two runs is what was changed in them."""
    assert gained(inflated()) == gained(usual)
