"""``vertecast measure``: every labelled vertebra of a CT as a table, JSON and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.tables import spine_table

LabelsOption = Annotated[Path, typer.Option("--labels", help="Segmentation of the vertebrae (NIfTI, NRRD, DICOM SEG).")]
DialectOption = Annotated[str, typer.Option(help="Numbering of the labels: auto, verse, totalseg, tptbox or seg.")]


def measure(
    labels: LabelsOption,
    ct: Annotated[Path | None, typer.Argument(help="CT: DICOM folder or zip, NIfTI, NRRD or MHA.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for spine.json, the pictures and the manifest.")] = None,
    dialect: DialectOption = "auto",
    series: Annotated[str | None, typer.Option(help="Series UID, when the CT folder holds several.")] = None,
    subregions: Annotated[Path | None, typer.Option(help="TPTBox/SPINEPS subregion labels on the same grid.")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="HU to mg/cm³: a TOML file, internal (own tissues) or fallback (uncalibrated).")
    ] = None,
    prior_labels: Annotated[Path | None, typer.Option(help="Labels of the patient's own earlier CT.")] = None,
    prior_ct: Annotated[Path | None, typer.Option(help="The earlier CT itself.")] = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure every labelled vertebra: heights, angles, height loss, grade, pedicles, density.

    Example: vertecast measure ct.nii.gz --labels vertebrae.nii.gz --out run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.measure import MeasureCase, measure_case

        case = MeasureCase(
            labels=labels,
            ct=ct,
            dialect=dialect,
            series=series,
            subregions=subregions,
            calibration=calibration,
            prior_labels=prior_labels,
            prior_ct=prior_ct,
        )
        spine = measure_case(case, out, answer.observer).as_json()
        answer.give(spine, spine_table(spine), *([f"Written to {out}"] if out else []))
