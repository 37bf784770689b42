"""``vertecast simulate``: run the planned procedure in a run folder, cement and cure under simulated fluoroscopy."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.measure import DialectOption


def simulate(
    folder: Annotated[Path, typer.Argument(help="Run folder that `vertecast plan` wrote.")],
    procedure: Annotated[
        str, typer.Option(help="What was planned: vertebroplasty, kyphoplasty, other_cavity_tool.")
    ] = "vertebroplasty",
    ct: Annotated[Path | None, typer.Option(help="The plan's CT, when it is not where it was.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The plan's labels, when they are not where they were.")] = None,
    dialect: DialectOption = "auto",
    calibration: Annotated[
        str | None, typer.Option(help="HU to mg/cm³: a TOML file, internal (own tissues) or fallback (uncalibrated).")
    ] = None,
    cement: Annotated[str | None, typer.Option(help="Cement of the catalogue; medium viscosity by default.")] = None,
    cement_ml: Annotated[float | None, typer.Option(help="Cement for each level, mL; default: the plan's.")] = None,
    start_age_s: Annotated[float | None, typer.Option(help="Seconds after mixing when the injection begins.")] = None,
    no_stop: Annotated[
        list[str] | None, typer.Option(help="Stop rule to switch off, for instance venous_filling; may be repeated.")
    ] = None,
    seal: Annotated[
        list[str] | None, typer.Option(help="Leak route to close on purpose, for instance disc; may be repeated.")
    ] = None,
    voxel_mm: Annotated[float, typer.Option(help="Edge of the simulation's voxels, mm.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of veins and shell, which a CT does not show.")] = 0,
    tool: Annotated[
        str | None, typer.Option(help="Cavity tool of the catalogue, for instance xpander-15/3, stent, jack-5.0.")
    ] = None,
    balloon_ml: Annotated[
        float | None, typer.Option(help="Volume into each cavity tool, mL; default: the plan's.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the state of a run that was broken off.")] = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Simulate the planned procedure: injection, leaks, stop rules, cure and heat.

    Example: vertecast simulate run --procedure vertebroplasty
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.core.errors import InputError
        from vertecast.pipeline.simulate import SimulateCase, simulate_case

        known = ("vertebroplasty", "kyphoplasty", "other_cavity_tool")
        if procedure not in known:
            raise InputError(f"procedure {procedure!r} cannot be simulated; use one of {', '.join(known)}")
        case = SimulateCase(
            folder=folder,
            procedure=procedure,
            ct=ct,
            labels=labels,
            dialect=dialect,
            calibration=calibration,
            cement_ml=cement_ml,
            start_age_s=start_age_s,
            rules_off=tuple(no_stop or ()),
            sealed=tuple(seal or ()),
            voxel_mm=voxel_mm,
            seed=seed,
            resume=resume,
            tool=tool,
            balloon_ml=balloon_ml,
            **({"cement": cement} if cement else {}),  # type: ignore[arg-type]
        )
        document = simulate_case(case, answer.observer).document
        answer.give(document, _table(document), f"Written to {folder}")


def _table(document: dict[str, Any]) -> Table:
    table = Table(title=f"{document['procedure'].capitalize()} with {document['cement']}", caption=document["notice"])
    table.add_column("")
    levels = document["levels"]
    for name in levels:
        table.add_column(name, justify="right")
    rows = {
        "injected, mL": [f"{sum(one['injected_ml'].values()):.2f}" for one in levels.values()],
        "in the body, mL": [f"{one.get('cement_in_body_ml', 0.0):.2f}" for one in levels.values()],
        "fill of the body": [f"{one.get('fill_of_body_percent', 0.0):.0f} %" for one in levels.values()],
    }
    for route in next(iter(levels.values()))["leaked_ml"]:
        rows[f"leaked, {route}, mL"] = [f"{one['leaked_ml'][route]:.3f}" for one in levels.values()]
    rows["peak pressure, bar"] = [f"{one['peak_syringe_pressure_bar']:.1f}" for one in levels.values()]
    for label, key in (("hottest cement, °C", "cement_peak_degc"), ("hottest at the canal, °C", "canal_peak_degc")):
        rows[label] = [f"{one['heat'][key]:.1f}" if one.get("heat") else "unknown" for one in levels.values()]
    rows |= _lift_rows(levels)
    for name, values in rows.items():
        table.add_row(name, *values)
    return table


def _lift_rows(levels: dict[str, Any]) -> dict[str, list[str]]:
    """Return what a cavity tool did; nothing for a vertebroplasty."""
    if not all("lift" in one for one in levels.values()):
        return {}
    rows = {}
    for moment in ("inflated", "deflated"):
        seen = [one["lift"]["moments"][moment] for one in levels.values()]
        rows[f"{moment}: gained in the middle, mm"] = [f"{one['rise_mm']['middle']:.1f}" for one in seen]
        rows[f"{moment}: gained in front, mm"] = [f"{one['rise_mm']['anterior']:.1f}" for one in seen]
    rows["highest balloon pressure, bar"] = [
        f"{max((p for point in one['lift']['curve'] for p in point['pressure_bar']), default=0.0):.1f}"
        for one in levels.values()
    ]
    return rows
