"""A case: everything that is decided before a run begins, from the command line or a TOML file."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError, VertecastError
from vertecast.core.levels import Level
from vertecast.core.parameters import Loaded
from vertecast.devices.catalogue import catalogue, find
from vertecast.pipeline.plan import PlanChoice
from vertecast.pipeline.planning_inputs import PlanningCase, named_levels, require_levels
from vertecast.planning.patient import load_patient
from vertecast.planning.selector import Procedure
from vertecast.procedure.cement import choose_cement

AUTO = "auto"
PROCEDURES = (AUTO, *(one.value for one in Procedure if one is not Procedure.NO_OPERATION))
PATHS = ("ct", "labels", "subregions", "prior_ct", "prior_labels", "patient")
NO_LABELS = (
    "the vertebrae of this CT are not labelled; segment them first and give the result with --labels. Accepted are "
    "TotalSegmentator (`TotalSegmentator -i ct.nii.gz -o vertebrae.nii.gz --ml`), VerSe label maps, TPTBox or SPINEPS "
    "(its vertebra mask, with the subregions in --subregions), and DICOM SEG, as NIfTI, NRRD, MetaImage or DICOM"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What ``vertecast run`` is given.

    Parameters
    ----------
    ct, labels : the CT and the segmentation of its vertebrae
    levels : the vertebrae to be treated, in one session
    procedure : of ``PROCEDURES``; ``auto`` takes what the indication proposes
    case_id : the only name the results carry; drawn from the CT's digest when None
    dialect, series, subregions, calibration, prior_ct, prior_labels : as of ``MeasureCase``
    patient : ``patient.toml``; without it the indication cannot be decided
    needle, target : as of ``PlanChoice``
    tool, balloon_ml : cavity tool of the catalogue and mL into each; the plan's when None
    cement, cement_ml, start_age_s : cement of the catalogue, mL a level, s after mixing; the plan's when None
    no_stop, seal : stop rules that are off, leak routes that are closed
    voxel_mm : edge of the simulation's voxels
    seed : of perturbed paths, veins and shell

    Raises
    ------
    InputError, ParameterError
        For a name that does not exist, no level, missing labels or files: before anything long begins.
    """

    ct: Path
    labels: Path | None
    levels: tuple[Level, ...]
    procedure: str = AUTO
    case_id: str | None = None
    dialect: str = "auto"
    series: str | None = None
    subregions: Path | None = None
    calibration: str | None = None
    prior_ct: Path | None = None
    prior_labels: Path | None = None
    patient: Path | None = None
    needle: str | None = None
    target: str = "auto"
    tool: str | None = None
    balloon_ml: float | None = None
    cement: str | None = None
    cement_ml: float | None = None
    start_age_s: float | None = None
    no_stop: tuple[str, ...] = ()
    seal: tuple[str, ...] = ()
    voxel_mm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels is None:
            raise InputError(NO_LABELS)
        for role in PATHS:
            path = getattr(self, role)
            if path is not None and not path.exists():
                remedy = f". If they are not made yet: {NO_LABELS}" if role == "labels" else "; check the path"
                raise InputError(f"{role.replace('_', ' ')}: {path} does not exist{remedy}")
        require_levels(self.levels)
        if self.procedure not in PROCEDURES:
            raise InputError(f"procedure {self.procedure!r} is not one of {', '.join(PROCEDURES)}")
        self._require_devices()
        if self.patient is not None:
            load_patient(self.patient)

    def _require_devices(self) -> None:
        devices = catalogue()
        if self.cement is not None:
            choose_cement(self.cement)
        if self.needle is not None:
            find({**devices.needles, **devices.cannulas}, self.needle)
        if self.tool is not None:
            if self.procedure == Procedure.VERTEBROPLASTY.value:
                raise InputError(f"a vertebroplasty uses no cavity tool; leave --tool {self.tool} out")
            tools: Mapping[str, Loaded[Any]] = {**devices.balloons, **devices.cavity_tools}
            find(tools, self.tool)

    @property
    def planning(self) -> PlanningCase:
        """What is measured, judged and planned."""
        assert self.labels is not None
        return PlanningCase(
            labels=self.labels,
            ct=self.ct,
            dialect=self.dialect,
            patient=self.patient,
            levels=self.levels,
            series=self.series,
            subregions=self.subregions,
            calibration=self.calibration,
            prior_labels=self.prior_labels,
            prior_ct=self.prior_ct,
        )

    @property
    def choice(self) -> PlanChoice:
        """What the user decided about the plan."""
        procedure = None if self.procedure == AUTO else Procedure(self.procedure)
        return PlanChoice(procedure=procedure, needle=self.needle, target=self.target, seed=self.seed)

    def as_json(self) -> dict[str, Any]:
        """Return the case as it can be read back by :func:`made_case`."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        found["levels"] = [level.value for level in self.levels]
        return {
            name: str(value.resolve()) if isinstance(value, Path) else list(value) if name in _LISTS else value
            for name, value in found.items()
            if value is not None
        }


_LISTS = ("levels", "no_stop", "seal")
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_LISTS, (list,)),
    **dict.fromkeys(("balloon_ml", "cement_ml", "start_age_s", "voxel_mm"), (int, float)),
    "seed": (int,),
}


def read_case(path: Path) -> dict[str, Any]:
    """Read the settings of a case from TOML (or JSON); paths are relative to the file.

    The names are those of :class:`Case`, and ``out``, the run folder.

    Raises
    ------
    InputError
        If the file cannot be read, or holds a name or a type that a case does not have.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError as exc:
        raise InputError(f"{path} does not exist; write a case file, see docs/formats.md") from exc
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is not valid {path.suffix.lstrip('.').upper()}: {exc}") from exc
    known = [one.name for one in fields(Case)] + ["out"]
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known)}"
            raise InputError(f"{path}: a case has no {name!r}; {hint}")
        allowed = _TYPES.get(name, (str,))
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise InputError(f"{path}: {name} = {value!r} should be a {' or '.join(one.__name__ for one in allowed)}")
    folder = path.resolve().parent
    return {name: folder / value if name in (*PATHS, "out") else value for name, value in given.items()}


def made_case(given: Mapping[str, Any]) -> Case:
    """Return the case of settings by name, such as :func:`read_case` returns; None counts as not given."""
    kept = {name: value for name, value in given.items() if value is not None and value not in ([], ())}
    if "ct" not in kept:
        raise InputError("no CT was given; name it first: vertecast run CT --labels SEG --level L1 --out DIR")
    levels = named_levels([str(one) for one in kept.pop("levels", [])])
    for name in ("no_stop", "seal"):
        kept[name] = tuple(str(one) for one in kept.get(name, ()))
    for name in PATHS:
        if name in kept:
            kept[name] = Path(kept[name])
    try:
        return Case(levels=levels, **{"labels": None, **kept})
    except VertecastError as exc:
        exc.add_note("nothing was run")
        raise
