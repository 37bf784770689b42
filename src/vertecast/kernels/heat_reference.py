"""Plain reference of :mod:`vertecast.kernels.heat`: a sparse matrix written out, and SciPy's integrator."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.integrate import solve_ivp

from vertecast.kernels.heat import Conductor, HeatState, Reaction

Array = NDArray[Any]


def conduction_matrix(conductor: Conductor) -> sparse.csr_matrix:
    """Return A of ``capacity dT/dt = outlet * ambient − A T``, in flat C order."""
    number = np.arange(conductor.capacity.size).reshape(conductor.capacity.shape)
    matrix = sparse.diags(conductor.outlet.ravel()).tocsr()
    for axis, face in enumerate((conductor.faces.x, conductor.faces.y, conductor.faces.z)):
        count = int(number.shape[axis])
        low = np.take(number, range(count - 1), axis=axis).ravel()
        high = np.take(number, range(1, count), axis=axis).ravel()
        through = face.ravel()[low]
        rows = np.concatenate([low, high, low, high])
        columns = np.concatenate([low, high, high, low])
        values = np.concatenate([through, through, -through, -through])
        matrix = matrix + sparse.csr_matrix((values, (rows, columns)), shape=(number.size,) * 2)
    return matrix


def reference_heat(
    conductor: Conductor, reaction: Reaction | None, state: HeatState, until: float, *, tolerance: float = 1e-9
) -> HeatState:
    """Advance by the Dormand-Prince method of order 8 at a tight tolerance; for small grids, and a fixed ceiling."""
    matrix, capacity = conduction_matrix(conductor), conductor.capacity.ravel()
    given = (conductor.outlet * conductor.ambient).ravel()
    size = capacity.size

    def rates(_: float, y: Array) -> Array:
        power = given - matrix @ y[:size]
        if reaction is None:
            return np.asarray(power / capacity)
        kelvin = y[:size][reaction.cells]
        rate = reaction.rate(kelvin, y[size:], np.maximum(state.ceiling, reaction.limit(kelvin)))
        power[reaction.cells] += reaction.heat * rate
        return np.concatenate([power / capacity, rate])

    start = np.concatenate([state.temperature.ravel(), state.extent])
    found = solve_ivp(rates, (state.time, until), start, method="DOP853", rtol=tolerance, atol=tolerance)
    end = found.y[:, -1]
    kelvin = end[:size].reshape(conductor.capacity.shape)
    return HeatState(until, kelvin, end[size:], state.ceiling)
