"""Cure of bone cement: autocatalytic conversion with an Arrhenius rate, up to what vitrification allows.

``dw/dt = K₀ exp(−E/RT) wᵐ (w_max − w)ⁿ``: w is the conversion, w_max the running maximum of what the temperature
reached so far allows. The caller keeps that maximum (``reached``) beside w; both travel with the cement.
"""

from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import ParameterUse, parse_parameters, read_toml
from vertecast.core.quantities import quantity

Array = NDArray[np.float64]
GAS = 8.314462618
"""J/(mol·K)."""
DEFAULT_KINETICS = "li_2003"
_EDGE, _NODES = 40.0, 4001
"""Range and nodes of the table over log(x / (1 - x)); 4e-18 from either end."""
_QUIET = 0.025
"""K: temperature change within one substep of a history; 2e-7 of the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinetics:
    """Constants of the autocatalytic rate."""

    frequency: float = quantity("1/s", "Arrhenius factor K0")
    activation: float = quantity("J/mol", "activation energy E")
    growth: float = quantity("1", "exponent m of the conversion")
    approach: float = quantity("1", "exponent n of what is left")
    enthalpy: float = quantity("mJ/mg", "heat released per mass of cement at full conversion")
    start: float = quantity("1", "conversion of freshly mixed cement")
    hard: float = quantity("1", "share of the reachable conversion at which the cement is hard")

    def __post_init__(self) -> None:
        if not (min(self.frequency, self.activation, self.growth, self.approach, self.enthalpy) > 0):
            raise ParameterError(f"rate constants of a cure must be above 0, got {self}")
        if not (0 < self.start < self.hard < 1):
            raise ParameterError(f"start = {self.start} and hard = {self.hard} must rise between 0 and 1; correct them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Vitrification: below ``full`` the conversion ends early."""

    full: float = quantity("K", "temperature from which full conversion is reachable")


@dataclass(frozen=True, slots=True)
class CureLaw:
    """One published set of constants, with where each comes from; no ceiling means full conversion is reachable."""

    name: str
    kinetics: Kinetics
    ceiling: Ceiling | None
    uses: tuple[ParameterUse, ...]


def kinetics_names() -> list[str]:
    """Return the names of the cure laws shipped."""
    folder = resources.files("vertecast.data").joinpath("cement")
    names = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    return [name for name in names if "kinetics" in read_toml(f"cement/{name}.toml")]


def load_kinetics(name: str = DEFAULT_KINETICS) -> CureLaw:
    """Load ``data/cement/<name>.toml``."""
    if name not in kinetics_names():
        raise ParameterError(f"cure law {name!r} does not exist; choose one of {', '.join(kinetics_names())}")
    place, table = f"data/cement/{name}.toml", read_toml(f"cement/{name}.toml")
    if table.keys() - {"kinetics", "ceiling"}:
        raise ParameterError(f"{place}: needs kinetics and at most ceiling, got {sorted(table)}")
    kinetics = parse_parameters(table["kinetics"], Kinetics, place=f"{place} [kinetics]")
    if "ceiling" not in table:
        return CureLaw(name, kinetics.values, None, kinetics.uses)
    ceiling = parse_parameters(table["ceiling"], Ceiling, place=f"{place} [ceiling]")
    return CureLaw(name, kinetics.values, ceiling.values, (*kinetics.uses, *ceiling.uses))


def reachable(temperature: ArrayLike, law: CureLaw) -> Array:
    """Conversion that a temperature, K, allows; keep its running maximum, for what has cured stays cured."""
    kelvin = np.asarray(temperature, float)
    if law.ceiling is None:
        return np.ones_like(kelvin)
    return np.minimum(kelvin / law.ceiling.full, 1.0)


def speed(temperature: ArrayLike, law: CureLaw) -> Array:
    """Return the Arrhenius factor ``K₀ exp(−E/RT)``, 1/s."""
    k = law.kinetics
    return np.asarray(k.frequency * np.exp(-k.activation / (GAS * np.asarray(temperature, float))))


def cure_rate(temperature: ArrayLike, w: ArrayLike, reached: ArrayLike, law: CureLaw) -> Array:
    """dw/dt, 1/s; zero once w has come to ``reached``."""
    conversion = np.maximum(np.asarray(w, float), 0.0)
    left = np.maximum(np.asarray(reached, float) - conversion, 0.0)
    k = law.kinetics
    return np.asarray(speed(temperature, law) * conversion**k.growth * left**k.approach)


def advance_cure(
    w: ArrayLike, reached: ArrayLike, temperature: ArrayLike, dt: ArrayLike, law: CureLaw
) -> tuple[Array, Array]:
    """Return conversion and reached ceiling after ``dt``, s, at constant temperature, K; exact for any dt.

    Notes
    -----
    With x = w / w_max the rate is w_max^(m+n−1) K x^m (1 − x)^n, so G(x) = ∫ dx / (x^m (1 − x)^n) grows evenly in time.
    G is tabulated once over log(x / (1 − x)), where it is smooth, and inverted by Newton's method.
    """
    conversion, kelvin, span = _checked(w, temperature, dt)
    top = np.maximum(np.asarray(reached, float), reachable(kelvin, law))
    conversion, top, kelvin, span = np.broadcast_arrays(conversion, top, kelvin, span)
    return _advanced(conversion, top, speed(kelvin, law) * span, law, _clock(law.kinetics)), np.array(top)


def _advanced(conversion: Array, top: Array, elapsed: Array, law: CureLaw, table: tuple[Array, Array, Array]) -> Array:
    """Conversion after ``elapsed`` = K dt; see :func:`advance_cure`."""
    k = law.kinetics
    share = conversion / top
    alive = (share > 0) & (share < 1)
    x = np.where(alive, share, 0.5)
    here = np.clip(np.log(x) - np.log1p(-x), -_EDGE, _EDGE)
    target = _at(here, table) + top ** (k.growth + k.approach - 1) * elapsed
    there = np.interp(target, table[0], table[2])
    for _ in range(3):
        there = np.clip(there - (_at(there, table) - target) / _slope(there, k), here, _EDGE)
    after = np.where(alive, top / (1 + np.exp(-there)), conversion)
    return np.asarray(np.maximum(after, conversion))


def cure_history(times: ArrayLike, temperatures: ArrayLike, law: CureLaw, w: float | None = None) -> Array:
    """Conversion at given times, s, of cement whose temperature, K, runs straight between them.

    ``w`` is the conversion at the first time; that of freshly mixed cement when None.
    """
    t, kelvin = np.asarray(times, float), np.asarray(temperatures, float)
    if t.ndim != 1 or t.shape != kelvin.shape or np.any(np.diff(t) <= 0):
        raise ParameterError("a cure history needs rising times with one temperature each")
    now, _, _ = _checked(law.kinetics.start if w is None else w, kelvin, np.diff(t))
    top, table = reachable(kelvin[0], law), _clock(law.kinetics)
    result = [float(now)]
    for first, last, dt in zip(kelvin[:-1], kelvin[1:], np.diff(t), strict=True):
        count = max(1, int(np.ceil(abs(last - first) / _QUIET)))
        for middle in first + (np.arange(count) + 0.5) / count * (last - first):
            top = np.maximum(top, reachable(middle, law))
            now = _advanced(now, top, speed(middle, law) * dt / count, law, table)
            top = np.maximum(top, reachable(middle + 0.5 / count * (last - first), law))
        result.append(float(now))
    return np.array(result)


def is_hard(w: ArrayLike, reached: ArrayLike, law: CureLaw) -> NDArray[np.bool_]:
    """Tell where the cement is hard: at the stated share of the conversion it could reach."""
    return np.asarray(np.asarray(w, float) >= law.kinetics.hard * np.asarray(reached, float))


def _checked(w: ArrayLike, temperature: ArrayLike, dt: ArrayLike) -> tuple[Array, Array, Array]:
    conversion, kelvin, span = (np.asarray(a, float) for a in (w, temperature, dt))
    if not (np.all(conversion >= 0) and np.all(conversion <= 1)):
        raise ParameterError("a conversion is outside 0-1 or NaN; correct it")
    if not (np.all(kelvin > 0) and np.all(np.isfinite(kelvin))):
        raise ParameterError("a temperature is not above 0 K; give kelvin, not degC")
    if not (np.all(span >= 0) and np.all(np.isfinite(span))):
        raise ParameterError("a time step is below 0 s or not finite; correct it")
    return conversion, kelvin, span


def _slope(u: Array, k: Kinetics) -> Array:
    """dG/du of the table, with u = log(x / (1 - x))."""
    x, rest = 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))
    return np.asarray(x ** (1 - k.growth) * rest ** (1 - k.approach))


def _clock(k: Kinetics) -> tuple[Array, Array, Array]:
    """G, its slope, and their nodes u; G by three Gauss points in each interval, zero at x = 1/2."""
    u = np.linspace(-_EDGE, _EDGE, _NODES)
    h = u[1] - u[0]
    middle = 0.5 * (u[1:] + u[:-1])
    outer = 0.5 * h * np.sqrt(0.6)
    pieces = h / 18 * (5 * _slope(middle - outer, k) + 8 * _slope(middle, k) + 5 * _slope(middle + outer, k))
    g = np.concatenate([[0.0], np.cumsum(pieces)])
    return g - g[_NODES // 2], _slope(u, k), u


def _at(u: Array, table: tuple[Array, Array, Array]) -> Array:
    """G at any u, by cubic Hermite interpolation."""
    g, slope, nodes = table
    h = nodes[1] - nodes[0]
    i = np.clip(((u - nodes[0]) / h).astype(int), 0, _NODES - 2)
    t = (u - nodes[i]) / h
    rise = g[i + 1] - g[i]
    a, b = h * slope[i] - rise, rise - h * slope[i + 1]
    return np.asarray(g[i] + t * rise + t * (1 - t) * (a * (1 - t) + b * t))
