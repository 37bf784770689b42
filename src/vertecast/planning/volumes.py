"""How much cement, which balloon and how much in it: proposals with their sources, limited by the room there is."""

import math
from dataclasses import dataclass
from typing import Any

from vertecast.core.errors import GeometryError
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import quantity
from vertecast.devices.access import Tube
from vertecast.devices.catalogue import Catalogue, fits
from vertecast.devices.cavity import Balloon
from vertecast.planning.selector import Procedure, SelectionMargins


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRules:
    """Published volumes and fractions."""

    fraction_low: float = quantity("1", "smallest cement fraction of the body")
    fraction_high: float = quantity("1", "largest cement fraction of the body")
    typical_balloon_volume: float = quantity("mm3", "clinical balloon volume per side")
    unilateral_volume: float = quantity("mm3", "mean cement of a one-sided vertebroplasty")
    bilateral_volume: float = quantity("mm3", "mean cement of a two-sided vertebroplasty")
    favoured_volume: float = quantity("mm3", "cement above which relief was likelier")
    bench_fractions: tuple[float, ...] = quantity("1", "fractions tested on the bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySize:
    """What of the body limits a balloon and scales the cement."""

    volume: float = quantity("mm3", "volume of the vertebral body")
    depth: float = quantity("mm", "mid-sagittal depth")
    target_height: float = quantity("mm", "lowest height the body should have after the lift")

    def __post_init__(self) -> None:
        if min(self.volume, self.depth, self.target_height) <= 0:
            raise GeometryError(
                f"body of {self.volume} mm3, depth {self.depth} mm, height {self.target_height} mm: "
                "all three must be above 0; measure the level first"
            )


@dataclass(frozen=True, slots=True)
class BalloonProposal:
    """The balloon of one side; volumes in mm³."""

    name: str
    volume: float
    largest: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeProposal:
    """Cement and balloons of one level; volumes in mm³, all sides together for the cement."""

    cement: float
    cement_low: float
    cement_high: float
    fraction: float
    sides: int
    balloon: BalloonProposal | None
    reasons: tuple[str, ...]
    uses: tuple[ParameterUse, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``, in mL."""
        balloon = self.balloon
        return {
            "cement_ml": {
                "value": self.cement / 1000,
                "low": self.cement_low / 1000,
                "high": self.cement_high / 1000,
                "method": "proposed range",
            },
            "body_fraction_percent": 100 * self.fraction,
            "sides": self.sides,
            "balloon": balloon
            and {
                "name": balloon.name,
                "volume_per_side_ml": balloon.volume / 1000,
                "largest_per_side_ml": balloon.largest / 1000,
                "reasons": list(balloon.reasons),
            },
            "reasons": list(self.reasons),
            "parameters": [use.as_json() for use in self.uses],
        }


def propose_volumes(
    procedure: Procedure, body: BodySize, sides: int, *, cannula: Tube, devices: Catalogue
) -> VolumeProposal:
    """Propose the volumes of one level.

    Parameters
    ----------
    sides : 1 or 2 accesses
    cannula : limits which balloon passes

    Raises
    ------
    GeometryError
        When a kyphoplasty is asked for and no balloon of the catalogue fits; also for no operation.
    """
    if procedure is Procedure.NO_OPERATION or sides not in (1, 2):
        raise GeometryError(
            f"no volumes for {procedure.value} with {sides} sides; choose an operation and 1 or 2 sides"
        )
    loaded = load_parameters("rules/volumes.toml", VolumeRules)
    rules = loaded.values
    if procedure is Procedure.KYPHOPLASTY:
        balloon, used = choose_balloon(body, cannula, devices, rules)
        cement = sides * balloon.volume
        span = (cement, max(cement, sides * balloon.largest))
        reasons = [
            f"cement fills the cavity: {sides} x {balloon.volume / 1000:.1f} mL "
            f"({_source(loaded, 'typical_balloon_volume')})"
        ]
    else:
        balloon, used = None, ()
        span = (rules.fraction_low * body.volume, rules.fraction_high * body.volume)
        cement = sum(span) / 2
        reasons = [
            f"{rules.fraction_low:.0%} to {rules.fraction_high:.0%} of a body of {body.volume / 1000:.1f} mL "
            f"({_source(loaded, 'fraction_low')})"
        ]
    reasons += _remarks(loaded, procedure, cement, cement / body.volume, sides)
    return VolumeProposal(
        cement=cement,
        cement_low=span[0],
        cement_high=span[1],
        fraction=cement / body.volume,
        sides=sides,
        balloon=balloon,
        reasons=tuple(reasons),
        uses=(*loaded.uses, *used),
    )


def choose_balloon(
    body: BodySize, cannula: Tube, devices: Catalogue, rules: VolumeRules
) -> tuple[BalloonProposal, tuple[ParameterUse, ...]]:
    """Choose the longest balloon that passes the cannula and lies in front of the body's posterior part."""
    loaded = load_parameters("rules/selection_margins.toml", SelectionMargins)
    margins = loaded.values
    length = body.depth * (1 - margins.posterior_part) - margins.endplate_margin
    height = body.target_height - 2 * margins.endplate_margin
    fitting = {
        name: entry
        for name, entry in devices.balloons.items()
        if fits(entry.values.deflated_diameter, cannula) and entry.values.working_length <= length
    }
    if not fitting or height <= 0:
        raise GeometryError(
            f"no balloon fits: {length:.1f} mm of length and {height:.1f} mm of height are free, the cannula's lumen "
            f"is {cannula.inner_diameter:.2f} mm; use vertebroplasty or another cavity tool"
        )
    name = max(fitting, key=lambda n: (fitting[n].values.working_length, fitting[n].values.rated_volume, n))
    balloon = fitting[name].values
    room = _room(balloon, height)
    largest = min(balloon.rated_volume, room)
    reasons = (
        f"{length:.1f} mm between the front margin and the posterior third takes {balloon.working_length:.0f} mm",
        f"up to {largest / 1000:.1f} mL: rated {balloon.rated_volume / 1000:.1f} mL, {room / 1000:.1f} mL between the "
        f"endplate margins at the target height",
    )
    proposal = BalloonProposal(name, min(rules.typical_balloon_volume, largest), largest, reasons)
    return proposal, (*loaded.uses, *fitting[name].uses)


def _room(balloon: Balloon, height: float) -> float:
    """Volume, mm³, of the free shape whose diameter is ``height``."""
    if height <= balloon.working_length:
        return math.pi / 6 * balloon.working_length * height**2
    return math.pi / 6 * height**3


def _remarks(
    loaded: Loaded[VolumeRules], procedure: Procedure, cement: float, fraction: float, sides: int
) -> list[str]:
    rules = loaded.values
    mean = rules.unilateral_volume if sides == 1 else rules.bilateral_volume
    name = "unilateral_volume" if sides == 1 else "bilateral_volume"
    tested = ", ".join(f"{f:.0%}" for f in rules.bench_fractions)
    remarks = [
        f"published mean for {sides} side(s): {mean / 1000:.1f} mL ({_source(loaded, name)})",
        f"this is {fraction:.0%} of the body; tested on the bench: {tested} ({_source(loaded, 'bench_fractions')})",
        "leakage into the disc rises steeply with the fraction (clinical.md 4.5 [32b])",
    ]
    if procedure is Procedure.KYPHOPLASTY and cement < rules.favoured_volume:
        remarks.append(
            f"below {rules.favoured_volume / 1000:.1f} mL, above which relief was likelier "
            f"({_source(loaded, 'favoured_volume')})"
        )
    return remarks


def _source(loaded: Loaded[VolumeRules], name: str) -> str:
    use = next(use for use in loaded.uses if use.name == name)
    return f"{use.source}; {use.status.value}"
