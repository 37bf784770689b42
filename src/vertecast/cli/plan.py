"""``vertecast plan``: which needle goes where, how much cement, which views."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.indicate import CtArgument, LevelsOption, PatientOption
from vertecast.cli.measure import DialectOption, LabelsOption


def plan(
    labels: LabelsOption,
    levels: LevelsOption,
    ct: CtArgument = None,
    patient: PatientOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for plan.json, the pictures and the manifest.")] = None,
    procedure: Annotated[str | None, typer.Option(help="vertebroplasty, kyphoplasty or other_cavity_tool.")] = None,
    needle: Annotated[str | None, typer.Option(help="Needle or cannula of the catalogue, for instance 11G.")] = None,
    target: Annotated[str, typer.Option(help="auto, endplate or cleft: where the tip should go.")] = "auto",
    dialect: DialectOption = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the perturbed paths.")] = 0,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Plan the needles of one or more levels; several are planned as one session.

    Example: vertecast plan ct.nii.gz --labels vertebrae.nii.gz --level L1 --patient patient.toml --out run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.core.errors import InputError
        from vertecast.pipeline.plan import PlanChoice, plan_case
        from vertecast.pipeline.planning_inputs import PlanningCase, named_levels
        from vertecast.planning.selector import Procedure

        names = [p.value for p in Procedure if p is not Procedure.NO_OPERATION]
        if procedure is not None and procedure not in names:
            raise InputError(f"procedure {procedure!r} is not one of {', '.join(names)}")
        case = PlanningCase(labels=labels, ct=ct, dialect=dialect, patient=patient, levels=named_levels(levels))
        kind = Procedure(procedure) if procedure else None
        choice = PlanChoice(procedure=kind, needle=needle, target=target, seed=seed)
        document = plan_case(case, choice, out, answer.observer)
        answer.give(document, *plan_parts(document), *([f"Written to {out}"] if out else []))


def plan_parts(document: dict[str, Any]) -> list[Any]:
    """Return the table of all plans and the sentences under it."""
    table = Table(title="Needle plans, best first", caption=document["notice"])
    for column in ("level", "plan", "needles", "canal mm", "root mm", "bone mm", "robust", "score", "view °"):
        table.add_column(column)
    for name, level in document["levels"].items():
        for rank, one in enumerate(level["plans"], 1):
            needles = one["needles"]
            table.add_row(
                name,
                f"{rank} {one['layout']}",
                "\n".join(f"{n['side']} {n['approach']}, {n['tool']['name']}" for n in needles),
                *("\n".join(f"{n['clearances_mm'][key]:.1f}" for n in needles) for key in _CLEARANCES),
                f"{one['robustness']:.0%}",
                f"{one['score']:.1f}",
                "\n".join(f"{n['bulls_eye']['rotation_deg']:.0f} / {n['bulls_eye']['tilt_deg']:.0f}" for n in needles),
            )
    session = document["session"]
    minutes = session["minutes"]
    return [
        table,
        *(level["sentence"] for level in document["levels"].values()),
        *(f"{name}: target {level['target']['reason']}" for name, level in document["levels"].items()),
        f"Session: {session['accesses']} accesses, about {session['cement_ml']:.1f} mL of cement, "
        f"{minutes['low']:.0f} to {minutes['high']:.0f} minutes",
        *(f"Limit: {limit}" for limit in dict.fromkeys(s for v in document["levels"].values() for s in v["limits"])),
    ]


_CLEARANCES = ("canal", "nerve_root", "bone_wall")
