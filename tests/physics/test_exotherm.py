"""Proves: a cure in place resumes, keeps doses and setting times, takes moved cement, refuses what does not fit."""

import dataclasses

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.physics import exotherm
from vertecast.physics.exotherm import CementInPlace, advance_exotherm, start_exotherm, surround_site

LAWS = exotherm.load_exotherm("borzacchiello_1998_2")
SHAPE = (14, 13, 12)
GRID = surround_site(SHAPE, (2.0, 2.0, 2.0), LAWS)


def place(share: float = 0.7) -> CementInPlace:
    cement = np.zeros(SHAPE)
    cement[4:10, 4:10, 3:9] = share
    return CementInPlace(GRID, np.zeros(SHAPE, int), cement)


def test_the_surroundings_reach_25_mm_on_every_side() -> None:
    for widths, layers, count in zip(GRID.widths, GRID.layers, SHAPE, strict=True):
        assert widths[:layers].sum() >= 25.0
        assert widths[layers + count :].sum() >= 25.0


def test_a_cure_heats_sets_and_cools() -> None:
    end = advance_exotherm(place(), start_exotherm(GRID, LAWS), 900.0, LAWS).state
    filled = place().cement_fraction > 0
    assert end.time == 900.0
    assert end.peak.max() > 345
    assert end.temperature.max() < end.peak.max() - 20
    assert np.all(np.isfinite(end.time_hard[filled]))
    assert np.all(np.isinf(end.time_hard[~filled]))
    assert np.all(end.conversion[filled] >= LAWS.cure.kinetics.hard * end.reached[filled])
    assert np.all(end.time_hot[filled] < 900)
    assert end.time_hot.max() > 60
    assert np.all((end.omega > 0) <= (end.peak > LAWS.dose.floor))
    assert end.cem43.max() > 0
    assert not end.peak.flags.writeable


def test_in_parts_or_at_once() -> None:
    once = advance_exotherm(place(), start_exotherm(GRID, LAWS), 400.0, LAWS).state
    state = start_exotherm(GRID, LAWS)
    for until in (90.0, 250.0, 260.0, 400.0):
        state = advance_exotherm(place(), state, until, LAWS).state
    assert np.abs(state.temperature - once.temperature).max() < 0.2
    filled = place().cement_fraction > 0
    assert state.time_hard[filled] == pytest.approx(once.time_hard[filled], abs=1.5)
    assert state.peak.max() == pytest.approx(once.peak.max(), abs=0.3)


def test_undisturbed_tissue_stays_at_body_temperature() -> None:
    end = advance_exotherm(place(0.0), start_exotherm(GRID, LAWS), 300.0, LAWS).state
    assert np.abs(end.temperature - 310.15).max() < 1e-9
    assert np.all(np.isinf(end.time_hard))


def test_moved_cement_takes_its_conversion_and_temperature_along() -> None:
    early = advance_exotherm(place(), start_exotherm(GRID, LAWS), 200.0, LAWS).state
    there = np.roll(place().cement_fraction, 3, axis=0)
    moved = early.with_cement(np.roll(early.conversion, 3, axis=0), np.roll(early.reached, 3, axis=0))
    moved = moved.with_temperature(np.roll(early.temperature, 3, axis=0))
    site = CementInPlace(GRID, np.zeros(SHAPE, int), there)
    end = advance_exotherm(site, moved, 500.0, LAWS).state
    stayed = advance_exotherm(place(), early, 500.0, LAWS).state
    assert end.time_hard[there > 0].max() == pytest.approx(stayed.time_hard[place().cement_fraction > 0].max(), abs=3)
    fresh = moved.with_cement(LAWS.cure.kinetics.start, 0.8)
    late = advance_exotherm(site, fresh, 500.0, LAWS).state
    assert late.time_hard[there > 0].max() > end.time_hard[there > 0].max() + 60, "this check cannot fail"


def test_a_warmer_start_sets_sooner() -> None:
    hard = []
    for kelvin in (296.15, 310.15):
        temperature = np.where(place().cement_fraction > 0, kelvin, 310.15)
        end = advance_exotherm(place(), start_exotherm(GRID, LAWS, temperature=temperature), 700.0, LAWS).state
        hard.append(end.time_hard[place().cement_fraction > 0].max())
    assert hard[1] < hard[0]


def test_absurd_values_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"do not fit the site \(14, 13, 12\)"):
        CementInPlace(GRID, np.zeros((2, 2, 2), int), np.zeros(SHAPE))
    with pytest.raises(ParameterError, match="cement fractions must lie within 0-1"):
        advance_exotherm(place(1.5), start_exotherm(GRID, LAWS), 1.0, LAWS)
    with pytest.raises(ParameterError, match="must be finite at the start"):
        advance_exotherm(place(), start_exotherm(GRID, LAWS, temperature=np.full(SHAPE, np.nan)), 1.0, LAWS)
    with pytest.raises(ParameterError, match="lies before the state's time"):
        advance_exotherm(place(), start_exotherm(GRID, LAWS, time=5.0), 1.0, LAWS)
    assert dataclasses.is_dataclass(LAWS)
    assert {use.name for use in LAWS.uses} >= {"frequency", "density", "trabecular.conductivity", "depth"}
