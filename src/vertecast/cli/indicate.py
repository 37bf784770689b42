"""``vertecast indicate``: what every rule pack says of a level, side by side."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.measure import DialectOption, LabelsOption

LevelsOption = Annotated[list[str], typer.Option("--level", help="A level such as L1; repeat it for several.")]
PatientOption = Annotated[Path | None, typer.Option("--patient", help="patient.toml; see `vertecast patient`.")]
CtArgument = Annotated[Path | None, typer.Argument(help="CT: DICOM folder or zip, NIfTI, NRRD or MHA.")]


def indicate(
    labels: LabelsOption,
    levels: LevelsOption,
    ct: CtArgument = None,
    patient: PatientOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for indication.json and the manifest.")] = None,
    dialect: DialectOption = "auto",
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Judge the indication by published rules, with what is missing and where they disagree.

    Example: vertecast indicate ct.nii.gz --labels vertebrae.nii.gz --level L1 --patient patient.toml
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.indicate import indicate_case
        from vertecast.pipeline.planning_inputs import PlanningCase, named_levels

        case = PlanningCase(labels=labels, ct=ct, dialect=dialect, patient=patient, levels=named_levels(levels))
        document = indicate_case(case, out, answer.observer)
        shown = [part for name, level in document["levels"].items() for part in indication_parts(name, level)]
        answer.give(document, *shown, *([f"Written to {out}"] if out else []))


def indication_parts(name: str, level: dict[str, Any]) -> list[Any]:
    """Return the table of one level and the sentences under it."""
    table = Table(title=f"{name}: what the rules say", caption=level["disclaimer"], show_lines=True)
    for column in ("rules", "verdict", "decided by", "verified"):
        table.add_column(column)
    for verdict in (*level["verdicts"], *level["dissent"]):
        role = " (dissent)" if verdict["role"] == "dissent" else ""
        decided = ", ".join(clause["text"] for clause in verdict["clauses"] if clause["truth"] in ("true", "false"))
        table.add_row(verdict["title"] + role, verdict["sentence"], decided, "yes" if verdict["verified"] else "no")
    selection = level["selection"]
    sentences = [f"Procedure: {selection['procedure'] or 'cannot be decided'}: {selection['reasons']['sentence']}"]
    if selection["procedure"] is None and selection["if_operated"]:
        provided = ", ".join(selection["provided_not"])
        sentences.append(
            f"If it is operated, and none of {provided or 'no complication'} holds: {selection['if_operated']}"
        )
    if level["disagreement"]:
        against, agreed = level["disagreement"]["against"], level["disagreement"]["for"]
        sentences.append(f"The rules disagree: for {', '.join(agreed)}; against {', '.join(against)}")
    missing = [f"{one['name']} ({one['meaning']}; {one['reason']})" for one in level["missing"][:8]]
    if missing:
        sentences.append("Most wanted: " + "; ".join(missing))
    return [table, *sentences]
