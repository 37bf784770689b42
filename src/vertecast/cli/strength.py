"""``vertecast strength``: stiffness, strength and load-to-strength of a vertebra by voxel finite elements."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.measure import DialectOption, LabelsOption
from vertecast.core.levels import Level


class _Support(Enum):
    PMMA = "pmma"
    DISC = "disc"


class _Loading(Enum):
    AXIAL = "axial"
    FLEXION = "flexion"


def strength(
    ct: Annotated[Path, typer.Argument(help="CT: DICOM folder or zip, NIfTI, NRRD or MHA.")],
    labels: LabelsOption,
    level: Annotated[list[Level], typer.Option(help="Vertebra to load, for instance L1; may be repeated.")],
    out: Annotated[Path | None, typer.Option(help="Folder for strength.json, fields, pictures, manifest.")] = None,
    dialect: DialectOption = "auto",
    calibration: Annotated[
        str, typer.Option(help="HU to mg/cm³: a TOML file, internal (own tissues) or fallback (uncalibrated).")
    ] = "fallback",
    support: Annotated[_Support, typer.Option(help="What holds the endplates.")] = _Support.PMMA,
    loading: Annotated[_Loading, typer.Option(help="Pressed straight, or in front of the centre.")] = _Loading.AXIAL,
    law: Annotated[str, typer.Option(help="Density law of the bone.")] = "kopperdahl_2002",
    post_yield: Annotated[str, typer.Option(help="After yield: perfect, softening or crush.")] = "perfect",
    crush_percent: Annotated[
        float | None, typer.Option(help="Also crush by this share of the height, unload, rest and load again.")
    ] = None,
    voxel_mm: Annotated[float, typer.Option(help="Edge of the elements, mm.")] = 1.0,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Load vertebral bodies to 3 % strain: stiffness, strength, and where they yield.

    Example: vertecast strength ct.nii.gz --labels vertebrae.nii.gz --level L1 --out run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.mechanics.settings import Loading, StrengthOptions, Support
        from vertecast.pipeline.strength import StrengthCase, strength_case

        options = StrengthOptions(
            voxel_mm=voxel_mm,
            law=law,
            post_yield=post_yield,
            support=Support(support.value),
            loading=Loading(loading.value),
        )
        case = StrengthCase(
            ct=ct,
            labels=labels,
            levels=tuple(level),
            dialect=dialect,
            calibration=calibration,
            crush=None if crush_percent is None else crush_percent / 100,
            options=options,
        )
        content = strength_case(case, out, answer.observer)
        answer.give(content, *(_table(one) for one in content["levels"]), *([f"Written to {out}"] if out else []))


def _table(found: dict[str, Any]) -> Table:
    mark = "" if found["calibrated"] else ", uncalibrated"
    table = Table(title=f"{found['level']}: {found['loading']} load between {found['support']} pads{mark}")
    table.add_column("")
    for one in found["results"]:
        table.add_column(f"alpha = {one['alpha']:.2f}", justify="right")
    rows = {
        "stiffness, kN/mm": [f"{one['stiffness_n_per_mm'] / 1000:.1f}" for one in found["results"]],
        "strength at 0.2 % offset, kN": [_kilo(one["strength_offset_n"]) for one in found["results"]],
        "strength at fixed strain, kN": [_kilo(one["strength_fixed_strain_n"]) for one in found["results"]],
        "highest force, kN": [_kilo(one["strength_maximum_n"]) for one in found["results"]],
    }
    for activity in found["results"][0]["load_to_strength"]:
        ratios = [one["load_to_strength"][activity]["value"] for one in found["results"]]
        rows[f"load/strength, {activity}"] = ["unknown" if r is None else f"{r:.2f}" for r in ratios]
    for name, values in rows.items():
        table.add_row(name, *values)
    again = found.get("crushed_again")
    if again is not None:
        table.caption = (
            f"Crushed by {again['pressed_percent']:.0f} % and loaded again: stiffness × "
            f"{again['stiffness_ratio']:.2f}, strength × {again['strength_ratio']:.2f}, "
            f"{again['recovered_percent']:.0f} % of the loss came back (calibrated, not validated)"
        )
    return table


def _kilo(quantity: dict[str, Any]) -> str:
    return "unknown" if quantity["value"] is None else f"{quantity['value'] / 1000:.2f}"
