"""Judge the indication of one or more levels and write ``indication.json``."""

from pathlib import Path
from typing import Any

from vertecast.core.observer import SILENT, Observer
from vertecast.devices.catalogue import catalogue, find
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.planning_inputs import PlanningCase, PlanningInputs, indicate_levels, read_planning
from vertecast.planning.selector import Selection, select

SCHEMA = "vertecast/indication/1"
_CANNULA, _BALLOON = "cannula-8G", "xpander-15/3"


def indicate_case(case: PlanningCase, out: Path | None = None, observer: Observer = SILENT) -> dict[str, Any]:
    """Read, measure and judge; return ``indication.json`` and, when ``out`` is given, write it there."""
    record = Record("indicate", observer, inputs=case.inputs())
    inputs = read_planning(case, record)
    document, _ = indication_document(case, inputs, record)
    if out is not None:
        with run_folder(out) as staging:
            outputs = {
                "spine.json": "every labelled vertebra, measured",
                "indication.json": "what each rule pack says",
                MANIFEST: "this file",
            }
            write_json(staging / "spine.json", inputs.spine.as_json())
            write_json(staging / "indication.json", document)
            write_json(staging / MANIFEST, record.manifest(outputs))
    return document


def indication_document(
    case: PlanningCase, inputs: PlanningInputs, record: Record
) -> tuple[dict[str, Any], dict[str, Selection]]:
    """Return ``indication.json`` and the procedure proposed for each level."""
    devices = catalogue()
    cannula, balloon = find(devices.cannulas, _CANNULA), find(devices.balloons, _BALLOON)
    record.uses.extend((*cannula.uses, *balloon.uses))
    levels, selections = {}, {}
    with record.stage("Judging the indication"):
        for level, (indication, measured) in indicate_levels(case, inputs).items():
            selection = select(indication, measured, cannula=cannula.values, balloon=balloon.values, devices=devices)
            record.uses.extend(selection.uses)
            selections[level.value] = selection
            levels[level.value] = {**indication.as_json(), "selection": selection.as_json()}
    return {"schema": SCHEMA, "levels": levels}, selections
