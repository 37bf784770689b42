"""What a flow knows after each step: shares, carried values, pressure, who gave and who got how much."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError

Array = NDArray[Any]


class Control(enum.Enum):
    """What held a source in a step."""

    RATE = "rate"
    PRESSURE = "pressure limit"
    CUT_OFF = "cut off from every outlet"
    FILLING = "needle is being filled"


@dataclass(frozen=True, slots=True)
class FlowLedger:
    """Volumes since the start, mm3; values carried out, mm3 x value.

    sum(injected) = sum(saturation * pore volume) + sum(leaked) + sum(needle), to rounding.
    """

    injected: Mapping[str, float]
    needle: Mapping[str, float]
    leaked: Mapping[str, float]
    drained: Mapping[str, float]
    leaked_carried: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class StepReport:
    """How a step went.

    ``span`` s; per source its control, rate mm3/s and tip pressure MPa; per outlet its total rate mm3/s; ``front`` the
    largest movement of the front in cells; ``overfill`` the largest share above one; iterations and relative residual
    of the pressure; ``passes`` viscosity passes; ``change`` the mean relative change of viscosity left after them.
    """

    span: float
    control: Mapping[str, Control]
    rates: Mapping[str, float]
    pressures: Mapping[str, float]
    outlet_rates: Mapping[str, float]
    sealed_cells: int
    front: float
    overfill: float
    iterations: int
    residual: float
    passes: int
    change: float


@dataclass(frozen=True, slots=True, eq=False)
class FlowState:
    """Two fluids on cells at one time; every array is read-only, (nx, ny, nz) unless said.

    ``time`` s; ``saturation`` the injected fluid's share of each pore volume; ``carried`` its mean values, zero where
    dry; ``pressure`` MPa, nan where nothing flows; ``fluxes`` (3, nx, ny, nz) mm3/s through the upper faces;
    ``blocked`` cells closed by set fluid; ``sealed`` open cells without a way to an outlet.
    """

    time: float
    saturation: Array
    carried: Mapping[str, Array]
    pressure: Array
    fluxes: Array
    blocked: NDArray[np.bool_]
    sealed: NDArray[np.bool_]
    ledger: FlowLedger
    report: StepReport | None

    def with_carried(self, **values: ArrayLike) -> "FlowState":
        """Return this state with other carried values (ageing, conduction); cells without injected fluid keep zero."""
        carried = dict(self.carried)
        for name, given in values.items():
            array = np.asarray(given, dtype=float)
            if name not in carried:
                raise ParameterError(f"{name} is not carried; carried are: {', '.join(carried) or 'none'}")
            if array.shape != self.saturation.shape or not np.all(np.isfinite(array[self.saturation > 0])):
                raise ParameterError(f"{name} {array.shape} must be finite on the cells {self.saturation.shape}")
            carried[name] = frozen(np.where(self.saturation > 0, array, 0.0))
        return replace(self, carried=MappingProxyType(carried))


def frozen(array: Array) -> Array:
    """Return the array, made read-only."""
    array.setflags(write=False)
    return array
