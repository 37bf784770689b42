"""One step of the second-order Runge-Kutta-Chebyshev method, for conduction with a reaction in some cells.

A step of s stages is stable for rates up to about 0.65 s² / step, so a stage count that grows with the root of the
step replaces a linear solve; the last rate gives an error estimate and starts the next step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.heat_compiled import END, RATE, STAGE, heat_pass

Array = NDArray[Any]
DAMPING = 2 / 13
MOST_STAGES = 250
NONE = np.zeros(1)
_TRACE = 1e-9
"""Extent below which only its absolute error counts."""


def stages_for(step: float, fastest: float) -> int:
    """Return the number of stages that makes a step stable, at least two; ``fastest`` is the largest rate, 1/s."""
    return max(2, 1 + int(np.sqrt(1.54 * step * fastest + 1)))


def longest_step(fastest: float) -> float:
    """Return the longest step, s, that the largest number of stages allows."""
    return float((MOST_STAGES - 1) ** 2 - 1) / (1.54 * fastest)


def stage_weights(count: int) -> tuple[float, Array]:
    """Return the first stage's weight of (step · rate) and (count - 1, 5) weights of the others.

    A row holds the weights of the start, of one and of two stages back, of step · rate one stage back and of
    step · rate at the start.
    """
    at = 1 + DAMPING / count**2
    value, first, second = [1.0, at], [0.0, 1.0], [0.0, 0.0]
    for _ in range(2, count + 1):
        value.append(2 * at * value[-1] - value[-2])
        first.append(2 * at * first[-1] - first[-2] + 2 * value[-2])
        second.append(2 * at * second[-1] - second[-2] + 4 * first[-2])
    scale = first[count] / second[count]
    b = [0.0, 1 / at, *(second[j] / first[j] ** 2 for j in range(2, count + 1))]
    b[0] = b[2]
    rows = np.empty((count - 1, 5))
    for j in range(2, count + 1):
        one, two = 2 * at * b[j] / b[j - 1], -b[j] / b[j - 2]
        rate = 2 * scale * b[j] / b[j - 1]
        rows[j - 2] = 1 - one - two, one, two, rate, -(1 - b[j - 1] * value[j - 1]) * rate
    return b[1] * scale, rows


@dataclass(frozen=True, eq=False)
class Cells:
    """What a step needs of the problem, ready for the compiled passes."""

    faces: tuple[Array, Array, Array]
    diagonal: Array
    inverse: Array
    base: Array
    """Source without reaction: what the surroundings give, mW."""
    outer: NDArray[np.intp]
    """Flat indices of the cells with an outlet."""
    outlet: Array
    ambient: float
    reacting: NDArray[np.intp]
    heat: Array
    rate: Callable[[Array, Array], Array]
    """Rate of the packed extents for packed temperatures and extents, ceilings included."""


class Rates:
    """Rates at one instant: of temperature everywhere, of the extents, and of the heat that leaves."""

    def __init__(self, cells: Cells, temperature: Array, extent: Array) -> None:
        self.source = cells.base.copy()
        self.extent = react(cells, temperature, extent, self.source)
        self.loss = leaving(cells, temperature)
        self.temperature = np.empty_like(temperature)
        fields = (cells.diagonal, self.source, cells.inverse)
        heat_pass(RATE, temperature, cells.faces, fields, temperature, temperature, NONE, self.temperature)


def react(cells: Cells, temperature: Array, extent: Array, source: Array) -> Array:
    """Return the rates of the extents and put their heat into ``source``."""
    if not cells.reacting.size:
        return np.zeros(0)
    rate = cells.rate(temperature.ravel()[cells.reacting], extent)
    source.ravel()[cells.reacting] = cells.base.ravel()[cells.reacting] + cells.heat * rate
    return rate


def leaving(cells: Cells, temperature: Array) -> float:
    """Heat that leaves to the surroundings, mW."""
    return float(np.sum(cells.outlet * (temperature.ravel()[cells.outer] - cells.ambient)))


class Step:
    """One step from a state; the attributes hold its end, its error and its cost."""

    def __init__(self, cells: Cells, temperature: Array, extent: Array, rates: Rates, span: tuple[float, int]) -> None:
        step, count = span
        begin, rows = stage_weights(count)
        rows = rows * np.array([1.0, 1.0, 1.0, step, step])
        self.temperature = temperature + begin * step * rates.temperature
        self.extent = extent + begin * step * rates.extent
        loss, back, loss_back = begin * step * rates.loss, extent, 0.0
        behind, source = temperature.copy(), cells.base.copy()
        fields = (cells.diagonal, source, cells.inverse)
        for row in rows:
            rate = react(cells, self.temperature, self.extent, source)
            lost = leaving(cells, self.temperature)
            heat_pass(STAGE, self.temperature, cells.faces, fields, temperature, rates.temperature, row, behind)
            self.temperature, behind = behind, self.temperature
            values = row[0] * extent + row[1] * self.extent + row[2] * back + row[3] * rate + row[4] * rates.extent
            self.extent, back = values, self.extent
            loss, loss_back = row[1] * loss + row[2] * loss_back + row[3] * lost + row[4] * rates.loss, loss
        self.loss = loss
        self.rates = rates_after(cells, self.temperature, self.extent, source, behind)
        self.error = heat_pass(
            END,
            self.temperature,
            cells.faces,
            fields,
            temperature,
            rates.temperature,
            np.array([0.4 * step]),
            self.rates.temperature,
        )
        drift = 0.8 * (extent - self.extent) + 0.4 * step * (rates.extent + self.rates.extent)
        share = np.abs(drift) / np.maximum(np.abs(self.extent), _TRACE)
        self.extent_error = float(share.max(initial=0.0))


def rates_after(cells: Cells, temperature: Array, extent: Array, source: Array, out: Array) -> Rates:
    """Return the rates at the end of a step, those of temperature not yet filled in."""
    rates = Rates.__new__(Rates)
    rates.extent = react(cells, temperature, extent, source)
    rates.source, rates.loss, rates.temperature = source, leaving(cells, temperature), out
    return rates
