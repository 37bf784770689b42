"""``vertecast demo``: the whole job on a made patient."""

from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag
from vertecast.cli.phantom import OutOption
from vertecast.cli.run import answering_run, give_run


def demo(
    out: OutOption,
    procedure: Annotated[
        str, typer.Option(help="kyphoplasty, vertebroplasty, or auto (as indicated).")
    ] = "kyphoplasty",
    voxel_mm: Annotated[float, typer.Option(help="Edge of the simulation's voxels, mm.")] = 1.0,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make a phantom patient with a fractured L1, and plan, simulate and report its operation.

    Example: vertecast demo --out demo
    """
    with answering_run(as_json=as_json, quiet=quiet) as (answer, observer, clock):
        from vertecast.pipeline.demo import demo_case

        give_run(answer, demo_case(out, observer, procedure=procedure, voxel_mm=voxel_mm, clock=clock))
