"""``vertecast fracture``: a compression fracture put into one vertebra of a CT, with the truth beside it."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.measure import DialectOption, LabelsOption
from vertecast.cli.phantom import OutOption


def fracture(
    labels: LabelsOption,
    level: Annotated[str, typer.Option(help="The vertebra to fracture.")],
    out: OutOption,
    ct: Annotated[Path | None, typer.Argument(help="CT; without it the labels alone are fractured.")] = None,
    anterior: Annotated[float, typer.Option(help="Anterior height to lose, per cent.")] = 30.0,
    middle: Annotated[
        float | None, typer.Option(help="Middle height to lose; default: between front and back.")
    ] = None,
    posterior: Annotated[float, typer.Option(help="Posterior height to lose, per cent.")] = 0.0,
    cleft: Annotated[str | None, typer.Option(help="Cleft inside the body: gas or fluid.")] = None,
    breach: Annotated[str | None, typer.Option(help="Broken cortex: anterior, superior or posterior.")] = None,
    bulge_mm: Annotated[float, typer.Option("--bulge-mm", help="Posterior wall pushed into the canal.")] = 0.0,
    dialect: DialectOption = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the fracture's irregularity.")] = 0,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Fracture one vertebra by a smooth, invertible warp; everything above follows.

    Example: vertecast fracture ct.nii.gz --labels labels.nii.gz --level L1 --anterior 35 --out fractured
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.fracture import FractureCase, fracture_case, fracture_spec
        from vertecast.pipeline.phantom import named_level

        spec = fracture_spec((anterior, middle, posterior), cleft=cleft, breach=breach, bulge_mm=bulge_mm)
        case = FractureCase(labels=labels, ct=ct, level=named_level(level), spec=spec, dialect=dialect, seed=seed)
        truth = fracture_case(case, out, answer.observer).truth.as_json()
        answer.give({"out": str(out), "truth": truth}, f"{level.upper()} fractured, written to {out}")
