"""``vertecast radiograph``: what the C-arm would show of a CT, with a plan's needles in it."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering


def radiograph(
    ct: Annotated[Path, typer.Argument(help="CT: DICOM folder or zip, NIfTI, NRRD or MHA.")],
    out: Annotated[Path, typer.Option(help="Folder for the picture, its geometry and the manifest.")],
    view: Annotated[str, typer.Option(help="ap, lateral or bullseye (down the first planned needle).")] = "ap",
    lao: Annotated[float, typer.Option(help="Tilt of the detector to the patient's left, degrees.")] = 0.0,
    cranial: Annotated[float, typer.Option(help="Tilt of the detector to the head, degrees.")] = 0.0,
    supine: Annotated[bool, typer.Option("--supine", help="The patient lies on the back; else prone.")] = False,
    labels: Annotated[Path | None, typer.Option(help="Segmentation, to aim at a vertebra with --level.")] = None,
    level: Annotated[str | None, typer.Option(help="Vertebra to aim at, in its own true AP or lateral.")] = None,
    dialect: Annotated[str, typer.Option(help="Numbering of the labels.")] = "auto",
    isocentre: Annotated[str | None, typer.Option(help="Isocentre in LPS mm, as x,y,z.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Run folder with plan.json: its needles are put in.")] = None,
    series: Annotated[str | None, typer.Option(help="Series UID, when the CT folder holds several.")] = None,
    field: Annotated[
        str | None, typer.Option(help="Shutters: width x height in mm at the isocentre, as 100x150.")
    ] = None,
    columns: Annotated[int, typer.Option(help="Pixels across the picture.", min=64, max=4096)] = 1024,
    kvp: Annotated[float | None, typer.Option(help="Tube voltage, kV; automatic when not given.")] = None,
    bone_bright: Annotated[bool, typer.Option("--bone-bright", help="Bone white, as on film.")] = False,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write a DICOM XA image.")] = False,
    film: Annotated[bool, typer.Option("--film", help="Also film the needles going in, AP and lateral.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the quantum noise.")] = 0,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Take a simulated radiograph of a CT, patient prone, any C-arm angle.

    Example: vertecast radiograph ct.nii.gz --view ap --lao 20 --cranial 10 --out run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.core.errors import InputError
        from vertecast.devices.carm import Lying
        from vertecast.pipeline.phantom import named_level
        from vertecast.pipeline.radiograph import RadiographCase, ViewName, radiograph_case

        try:
            point = tuple(float(x) for x in isocentre.split(",")) if isocentre else None
            size = tuple(float(x) for x in field.split("x")) if field else None
            named = ViewName(view)
        except ValueError as exc:
            raise InputError(
                f"{exc}; --view is ap, lateral or bullseye, --isocentre is x,y,z and --field is width x height in mm"
            ) from exc
        if point is not None and len(point) != 3:
            raise InputError(f"--isocentre {isocentre} has {len(point)} numbers; give x,y,z in mm")
        if size is not None and len(size) != 2:
            raise InputError(f"--field {field} has {len(size)} numbers; give width x height in mm, as 100x150")
        case = RadiographCase(
            ct=ct,
            view=named,
            lao_deg=lao,
            cranial_deg=cranial,
            lying=Lying.SUPINE if supine else Lying.PRONE,
            labels=labels,
            level=named_level(level) if level else None,
            dialect=dialect,
            isocentre_lps_mm=point,
            plan=plan,
            series=series,
            field_mm=size,
            columns=columns,
            kvp=kvp,
            bone_bright=bone_bright,
            seed=seed,
            dicom=dicom,
            film=film,
        )
        taken = radiograph_case(case, out, answer.observer)
        kerma = taken.dose.air_kerma_mgy.value
        answer.give(
            {"out": str(out), **taken.as_json()},
            f"{taken.view.angles}, {taken.technique.kvp:.0f} kV, {taken.technique.mas:.2f} mA s, "
            f"entrance air kerma {kerma:.2f} mGy (± 35 %)",
            f"Written to {out}/radiograph.png",
        )
