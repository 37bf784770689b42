"""What the patient pages say of one case: taken from the run folder, rounded for plain words, unknown where unknown."""

from dataclasses import dataclass
from typing import Any

from vertecast.report.case_report_run import Document, RunFolder

PROCEDURES = ("kyphoplasty", "vertebroplasty")
OTHER_TOOL = "other_cavity_tool"
"""A cavity made without a balloon: the steps are those of kyphoplasty."""
LEAST_LEAK_ML = 0.001
"""Below this a route counts as dry: it is less than one voxel of the simulation."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class PatientCase:
    """One run as the patient pages see it.

    Parameters
    ----------
    levels : planned or simulated, else judged, else fractured; craniocaudally
    procedures : what was planned or simulated
    possible : what may be done by the selection rules and the plan; both, where both are possible
    """

    run: RunFolder
    levels: tuple[str, ...]
    procedures: tuple[str, ...]
    possible: tuple[str, ...]

    @property
    def main_procedure(self) -> str:
        """The procedure that the chapters follow; kyphoplasty when levels differ, for it has every step."""
        return self.procedures[0] if self.procedures else self.possible[0]

    def quantity(self, level: str, key: str) -> Quantity | None:
        """Return a measured quantity of a vertebra."""
        return quantity(self.run.vertebra(level).get(key))

    def loss(self, level: str) -> Quantity | None:
        """Return the height loss in percent."""
        return self.quantity(level, "height_loss_percent")

    def bulge_mm(self, level: str) -> float | None:
        """Return how far the posterior wall stands beyond that of intact vertebrae, if that is beyond doubt."""
        wall = self.run.vertebra(level).get("posterior_wall") or {}
        excess = quantity(wall.get("excess_mm"))
        return excess.value if excess and excess.low > 0 else None

    def injected_ml(self) -> float | None:
        """Return the cement of all levels together."""
        parts = [
            float(ml)
            for name in self.levels
            for ml in (self.run.level("simulation", name).get("injected_ml") or {}).values()
        ]
        return sum(parts) if parts else None

    def leaks_ml(self) -> dict[str, float]:
        """Return the cement that left the bone, by route, over all levels; only routes that leak."""
        total: dict[str, float] = {}
        for name in self.levels:
            for route, ml in (self.run.level("simulation", name).get("leaked_ml") or {}).items():
                total[route] = total.get(route, 0.0) + float(ml)
        return {route: ml for route, ml in total.items() if ml >= LEAST_LEAK_ML}

    def hard_minutes(self) -> int | None:
        """Return the minutes from mixing until the cement is hard, as the simulation has it."""
        took = [float(e["t_s"]) - self.mixed_s(str(e.get("level"))) for e in self.run.events_of("hard")]
        return round(max(took) / 60.0) if took else None

    def mixed_s(self, level: str) -> float:
        """Return when a level's cement was mixed, on the procedure's clock: the last mixing before its injection."""
        first = min((float(e["t_s"]) for e in self.run.events_of("injection_started", level=level)), default=0.0)
        mixed = [float(event["t_s"]) for event in self.run.events_of("cement_mixed")]
        return max((t for t in mixed if t <= first), default=min(mixed, default=0.0))

    def accesses(self) -> int:
        """Return the most needles at one level, as placed or planned; 0 when unknown."""
        most = 0
        for name in self.levels:
            placed = {event.get("side") for event in self.run.events_of("access", level=name)}
            plans = self.run.level("plan", name).get("plans") or [{}]
            most = max(most, len(placed) or len(plans[0].get("needles", [])))
        return most

    def stopped_early(self) -> bool:
        """Tell whether an injection ended before the planned volume was in; a balloon's stops do not count."""
        injecting: set[tuple[Any, Any]] = set()
        for event in self.run.events_of("injection_started", "injection_ended", "stop"):
            needle = (event.get("level"), event.get("side"))
            if event["kind"] == "injection_started":
                injecting.add(needle)
            elif event["kind"] == "injection_ended":
                injecting.discard(needle)
            elif needle in injecting and (event.get("data") or {}).get("reason") != "planned_volume":
                return True
        return False

    def lifted_mm(self) -> tuple[float, float] | None:
        """Return how far the tools lifted the bone, and what of it stayed when they were let go; None without them.

        In the middle of the body, as the outcome measures it; the endplate's own rise where nothing was assessed.
        """
        if not any(self.run.events_of("inflation")):
            return None
        shapes = [self.run.level("outcome", name).get("shape") or {} for name in self.levels]
        heights = [
            max(
                (one.value for shape in shapes if (one := quantity((shape.get(key) or {}).get("middle")))), default=None
            )
            for key in ("height_regained_mm", "height_kept_mm")
        ]
        if heights[0] is not None and heights[1] is not None:
            return heights[0], heights[1]
        found = []
        for kind in ("inflation", "deflation"):
            data = [event.get("data") or {} for event in self.run.events_of(kind)]
            found.append(max((float(one["lift_mm"]) for one in data if "lift_mm" in one), default=None))
        full, kept = found
        return None if full is None or kept is None else (full, kept)

    @property
    def other_tool(self) -> bool:
        """Whether the cavity is made by another tool than a balloon."""
        return OTHER_TOOL in {str(self.run.level("plan", name).get("procedure")) for name in self.levels} | {
            str(self.run.document("simulation").get("procedure"))
        }

    def canal_degc(self) -> float | None:
        """Return the highest temperature beside the nerves."""
        heats = [self.run.level("simulation", name).get("heat") or {} for name in self.levels]
        known = [float(heat["canal_peak_degc"]) for heat in heats if heat.get("canal_peak_degc") is not None]
        return max(known, default=None)

    def care(self, topic: str) -> list[Document]:
        """Return the course of care's statements on a topic, those that differ in what they say."""
        content = (self.run.document("plan").get("care") or {}).get(topic) or {}
        statements: list[Document] = content.get("statements", [])
        return statements


def patient_case(run: RunFolder) -> PatientCase:
    """Read a run folder with the eyes of the patient pages."""
    planned = set(_levels(run, "plan")) | set(_levels(run, "simulation"))
    levels = tuple(name for name in run.levels if name in planned) or run.levels or _fractured(run)
    procedures = {str(run.level("plan", name).get("procedure")) for name in levels}
    procedures.add(str(run.document("simulation").get("procedure")))
    if OTHER_TOOL in procedures:
        procedures.add("kyphoplasty")
    done = tuple(one for one in PROCEDURES if one in procedures)
    choosable = set(done)
    for name in levels:
        selection = run.level("indication", name).get("selection") or {}
        named = {str(selection.get("procedure")), str(selection.get("if_operated"))}
        choosable |= named | set((selection.get("reasons") or {}).get("possible") or ())
    possible = tuple(one for one in PROCEDURES if one in choosable) or PROCEDURES
    return PatientCase(run, levels, done, possible)


def quantity(document: Any) -> Quantity | None:
    """Return DESIGN's Q as numbers; None when it is unknown."""
    if not isinstance(document, dict) or document.get("value") is None:
        return None
    value = float(document["value"])
    low, high = document.get("low"), document.get("high")
    return Quantity(value, value if low is None else float(low), value if high is None else float(high))


def _fractured(run: RunFolder) -> tuple[str, ...]:
    """Return the levels with a fracture by height, for a run that only measured."""
    graded = ((str(one.get("level")), (one.get("genant") or {}).get("grade")) for one in run.vertebrae())
    return tuple(level for level, grade in graded if grade is not None and grade >= 1)


def _levels(run: RunFolder, document: str) -> tuple[str, ...]:
    levels = run.document(document).get("levels")
    return tuple(levels) if isinstance(levels, dict) else ()
