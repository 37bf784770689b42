"""``vertecast phantom``: a spine CT with labels and exact truth, made and not scanned."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering

OutOption = Annotated[Path, typer.Option("--out", help="Folder for the results.")]


def phantom(
    out: OutOption,
    first: Annotated[str, typer.Option("--from", help="Uppermost level.")] = "T10",
    last: Annotated[str, typer.Option("--to", help="Lowermost level.")] = "L5",
    spacing_mm: Annotated[float, typer.Option("--spacing-mm", help="Voxel edge in the axial plane.")] = 1.0,
    slice_mm: Annotated[float, typer.Option("--slice-mm", help="Slice spacing.")] = 1.0,
    random: Annotated[bool, typer.Option("--random", help="A random shape, pose and density by the seed.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of texture and noise.")] = 0,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make a thoracolumbar spine CT with known heights, angles, pedicles and densities.

    Example: vertecast phantom --from T12 --to L3 --out phantom
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.phantom import PhantomCase, named_level, phantom_case

        case = PhantomCase(
            first=named_level(first),
            last=named_level(last),
            spacing_mm=spacing_mm,
            slice_mm=slice_mm,
            random=random,
            seed=seed,
        )
        made = phantom_case(case, out, answer.observer)
        shape = " × ".join(str(n) for n in made.volume.hu.shape)
        levels = [str(level) for level in made.labels.levels]
        answer.give(
            {"out": str(out), "levels": levels, "truth": made.truth.as_json()},
            f"Phantom of {levels[0]} to {levels[-1]}, {shape} voxels, written to {out}",
            f"Measure it with: vertecast measure {out}/ct.nii.gz --labels {out}/labels.nii.gz --out {out}/measured",
        )
