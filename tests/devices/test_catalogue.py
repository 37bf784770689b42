"""Proves the catalogue: every number has unit, source and status, devices fit one another, bad files are refused."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertecast.core.errors import InputError, ParameterError
from vertecast.core.parameters import Status, parse_parameters, read_toml
from vertecast.core.quantities import UNITS
from vertecast.devices.access import Tube
from vertecast.devices.catalogue import catalogue, find, fits
from vertecast.devices.cavity import Balloon, CavityTool
from vertecast.devices.fills import CementCard, Contrast

CATALOGUE = catalogue()
KINDS = [getattr(CATALOGUE, f.name) for f in dataclasses.fields(CATALOGUE)]


def test_every_number_has_unit_source_and_status() -> None:
    uses = [use for kind in KINDS for loaded in kind.values() for use in loaded.uses]
    assert len(uses) > 150
    assert all(use.source.strip() and use.unit in UNITS for use in uses)
    assert {use.status for use in uses} >= {Status.ASSUMED, Status.REPORTED}


def test_assumed_numbers_are_visible_by_device() -> None:
    assumed = {use.name for use in CATALOGUE.assumed}
    assert "xpander-15/3.rated_volume" in assumed
    assert "jack-5.0.collapsed_diameter" not in assumed
    assert all(use.status is Status.ASSUMED for use in CATALOGUE.assumed)


@pytest.mark.parametrize("cls", [Tube, Balloon, CavityTool, CementCard, Contrast])
def test_device_classes_are_frozen_and_every_field_has_a_unit(cls: type) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.metadata["unit"] in UNITS for field in dataclasses.fields(cls))


def test_needles_are_8_to_15_gauge_and_shrink_with_it() -> None:
    tubes = [n.values for n in CATALOGUE.needles.values()]
    assert [t.gauge for t in tubes] == list(range(8, 16))
    assert all(a.outer_diameter > b.outer_diameter for a, b in itertools.pairwise(tubes))
    assert all(a.inner_diameter > b.inner_diameter for a, b in itertools.pairwise(tubes))
    g11 = CATALOGUE.needles["11G"].values
    assert (g11.outer_diameter, g11.radius) == (3.05, 1.525)
    assert g11.dead_volume == pytest.approx(math.pi * 2.39**2 / 4 * 150)


def test_every_balloon_passes_some_cannula_and_express_passes_10_g() -> None:
    cannulas = [c.values for c in CATALOGUE.cannulas.values()]
    for balloon in CATALOGUE.balloons.values():
        assert any(fits(balloon.values.deflated_diameter, c) for c in cannulas)
    thin = CATALOGUE.cannulas["cannula-10G"].values
    passing = {n for n, b in CATALOGUE.balloons.items() if fits(b.values.deflated_diameter, thin)}
    assert passing == {"express-10/2", "express-15/2"}


@given(st.sampled_from(sorted(CATALOGUE.balloons)), st.floats(0, 1), st.floats(0, 1))
def test_free_shape_keeps_its_volume_and_grows(name: str, a: float, b: float) -> None:
    balloon = CATALOGUE.balloons[name].values
    small, large = sorted((a * balloon.rated_volume, b * balloon.rated_volume))
    for volume in (small, large):
        length, diameter = balloon.free_axes(volume)
        assert math.pi / 6 * length * diameter**2 == pytest.approx(volume)
        assert length >= max(diameter, balloon.working_length) * (1 - 1e-12)
    assert balloon.free_axes(small) <= balloon.free_axes(large)


def test_balloon_refuses_more_than_its_rating() -> None:
    balloon = CATALOGUE.balloons["xpander-10/3"].values
    with pytest.raises(ParameterError, match=r"volume 3001 mm3 is outside 0 to 3000.0 mm3, the rated volume"):
        balloon.free_axes(3001)


def test_every_family_of_cavity_tool_is_there_and_the_jack_needs_its_size_plus_0_8_mm() -> None:
    assert {t.values.kind for t in CATALOGUE.cavity_tools.values()} == set(CavityTool.KINDS)
    assert [CATALOGUE.cavity_tools[f"jack-{s}"].values.least_pedicle for s in ("4.2", "5.0", "5.8")] == pytest.approx(
        [5.0, 5.8, 6.6]
    )
    holds = {n for n, t in CATALOGUE.cavity_tools.items() if t.values.contains_cement}
    assert holds == {"mesh-container", "coil"}


def test_cements_are_visible_and_their_windows_are_the_sources() -> None:
    windows = {n: (c.values.working_start, c.values.working_end) for n, c in CATALOGUE.cements.items()}
    assert windows["pmma-low-viscosity"] == (210, 570)
    assert windows["pmma-high-viscosity"] == (210, 390)
    assert all(c.values.visible for c in CATALOGUE.cements.values())


def test_find_helps_with_names() -> None:
    assert find(CATALOGUE.needles, "11G").values.gauge == 11
    with pytest.raises(InputError, match="device 'expander-15/3' is not in the catalogue; did you mean 'xpander-15/3'"):
        find(CATALOGUE.balloons, "expander-15/3")
    with pytest.raises(InputError, match="there are cannula-8G, cannula-9G, cannula-10G"):
        find(CATALOGUE.cannulas, "?")


def _changed(file: str, device: str, **changes: object) -> dict[str, object]:
    table = read_toml(f"devices/{file}.toml")[device]
    return {k: {**entry, "value": changes.get(k, entry["value"])} for k, entry in table.items()}


@pytest.mark.parametrize(
    ("file", "device", "cls", "changes", "message"),
    [
        ("needles", "11G", Tube, {"inner_diameter": 3.2}, "inner diameter 3.2 mm does not fit an outer one of 3.05"),
        ("needles", "11G", Tube, {"length": 0}, "length 0.0 mm must be above 0"),
        ("balloons", "xpander-10/3", Balloon, {"rated_volume": 0}, "must all be above 0"),
        ("balloons", "xpander-10/3", Balloon, {"free_shape": "star"}, "free shape 'star' is not one of"),
        ("cavity_tools", "stent", CavityTool, {"kind": "screw"}, "kind 'screw' is not one of"),
        ("cavity_tools", "stent", CavityTool, {"force": "magic"}, "force 'magic' is not one of"),
        ("cavity_tools", "stent", CavityTool, {"expanded_diameter": 1}, "must be above 0 and grow"),
        ("cements", "pmma-low-viscosity", CementCard, {"viscosity_class": "odd"}, "'odd' is not one of low, medium"),
        ("cements", "pmma-low-viscosity", CementCard, {"working_end": 100}, "from 210.0 to 100.0 s is empty"),
        ("cements", "pmma-low-viscosity", CementCard, {"opacifier_fraction": 2}, "2.0 is outside 0 to 1"),
        ("contrasts", "iodine-300", Contrast, {"iodinated": False}, "does not agree with iodinated = False"),
    ],
)
def test_devices_that_cannot_be_are_refused(
    file: str, device: str, cls: type, changes: dict[str, object], message: str
) -> None:
    parse_parameters(_changed(file, device), cls, place="unchanged")
    with pytest.raises(ParameterError, match=message):
        parse_parameters(_changed(file, device, **changes), cls, place="test")


def test_these_checks_can_fail() -> None:
    """A status that is not one of the three is refused where the catalogue reads its files."""
    table = _changed("needles", "11G")
    table["length"] = {**table["length"], "status": "guessed"}  # type: ignore[dict-item]
    with pytest.raises(ParameterError, match="status 'guessed' is not one of measured, reported, assumed"):
        parse_parameters(table, Tube, place="test")
