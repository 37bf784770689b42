"""One run while it goes on: its case, what was read and measured, and the parts its stages have added."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from vertecast.core.levels import NOT_EVERYONE_HAS, Level
from vertecast.core.observer import RunObserver
from vertecast.core.provenance import digest, software_versions
from vertecast.pipeline.case import Case
from vertecast.pipeline.manifest import NOTICE, SCHEMA, Record, without_folders
from vertecast.pipeline.measure import MeasuredCase, measure_images, read_images
from vertecast.pipeline.planning_inputs import PlanningInputs, require_present
from vertecast.pipeline.stage_store import Part
from vertecast.planning.patient import Patient, load_patient


class Session:
    """What the stages of one run share; it measures once, and only when a stage asks."""

    def __init__(self, case: Case, folder: Path, observer: RunObserver, *, resume: bool) -> None:
        self.case = case
        self.folder = folder
        self.observer = observer
        self.resume = resume
        self.parts: dict[str, Part] = {}
        self.reused: set[str] = set()
        self._started = datetime.now(UTC)
        self._measured: MeasuredCase | None = None

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The input files by role."""
        return self.case.planning.inputs()

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every input by role."""
        return {role: digest(path).sha256 for role, path in self.paths.items()}

    @property
    def case_id(self) -> str:
        """The only name that the results carry."""
        return self.case.case_id or f"case-{self.digests['ct'][:8]}"

    def record(self) -> Record:
        """Return an empty record of a stage."""
        return Record("run", self.observer, seed=self.case.seed)

    def measured(self, record: Record | None = None) -> MeasuredCase:
        """Read and measure, the first time it is asked for; ``record`` is told then."""
        if self._measured is None:
            told = record or self.record()
            planning = self.case.planning
            images = read_images(planning.images(), told)
            require_present(self.case.levels, images[1].values, planning.labels.name)
            self._measured = measure_images(planning.images(), images, told)
        return self._measured

    def forget_images(self) -> None:
        """Give the memory of the images back: no later stage asks for them."""
        self._measured = None

    def planning_inputs(self) -> PlanningInputs:
        """Return everything that judging and planning need."""
        measured = self.measured()
        patient = load_patient(self.case.patient) if self.case.patient else Patient()
        return PlanningInputs(measured.labels, measured.volume, patient, measured.spine)

    def neighbours_missing(self) -> tuple[str, ...]:
        """Return a sentence for each neighbour of a treated level that the labels do not hold."""
        present = self.measured().labels.values
        usual = [level for level in Level if level in present or level not in NOT_EVERYONE_HAS]
        found = []
        for level in self.case.levels:
            place = usual.index(level)
            for where, other in (("above", usual[place - 1] if place else None), ("below", _next(usual, place))):
                if other is not None and other not in present:
                    found.append(
                        f"{level}: {other}, the vertebra {where} it, is not in the labels; the disc between them and "
                        "the load on that neighbour stay unknown; label it as well if the CT shows it"
                    )
        return tuple(found)

    def manifest(self, compile_seconds: float = 0.0) -> dict[str, Any]:
        """Return the manifest of what is done so far; everything outside ``run`` is the same for the same case."""
        parts = self.parts.values()
        parameters = {repr(sorted(one.items())): one for part in parts for one in part.parameters}
        skipped = {one["artefact"] + one["reason"]: one for part in parts for one in part.skipped}
        holds = {name: text for part in parts for name, text in part.holds.items()} | {"manifest.json": "this file"}
        return {
            "schema": SCHEMA,
            "notice": NOTICE,
            "command": "run",
            "case_id": self.case_id,
            "dialect": self.case.dialect,
            "series": self.case.series,
            "software": software_versions(),
            "inputs": [{"role": role, "sha256": sha} for role, sha in self.digests.items()],
            "seed": self.case.seed,
            "parameters": sorted(parameters.values(), key=lambda one: (one["name"], str(one["value"]), one["source"])),
            "warnings": without_folders((one for part in parts for one in part.warnings), self.paths),
            "skipped": list(skipped.values()),
            "outputs": [{"file": name, "holds": holds[name]} for name in sorted(holds)],
            "run": {
                "started": self._started.isoformat(timespec="seconds"),
                "paths": {role: str(path.absolute()) for role, path in self.paths.items()},
                "compile_seconds": round(compile_seconds, 2),
                "stages": [self._taken(name, part) for name, part in self.parts.items()],
            },
        }

    def _taken(self, name: str, part: Part) -> dict[str, Any]:
        taken = {"name": name, "seconds": part.seconds, "peak_memory_mib": part.peak_memory_mib}
        return {**taken, "reused": name in self.reused, "steps": list(part.steps)}

    def timed(self, part: Part, seconds: float, peak_mib: float) -> Part:
        """Return a part with what it took; a step's own peak counts for the stage."""
        peaks = [float(step["peak_memory_mib"]) for step in part.steps]
        return replace(part, seconds=round(seconds, 3), peak_memory_mib=max([peak_mib, *peaks]))


def _next(levels: list[Level], place: int) -> Level | None:
    return levels[place + 1] if place + 1 < len(levels) else None
