"""Write a run folder's results for other systems into ``DIR/export/``, and say so in its manifest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vertecast.core.errors import VertecastError
from vertecast.core.observer import SILENT, Observer
from vertecast.pipeline.extras import missing_extra
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record, Written, with_artefacts

if TYPE_CHECKING:
    from vertecast.report.case_report_run import RunFolder

FOLDER = "export"
_GONE = (VertecastError, OSError)
"""What an export may lack: it is then left out with the sentence, and the others are written."""


@dataclass(frozen=True, slots=True)
class _Artefact:
    """One file: its name below ``export/``, what it holds, the extra it needs, and how it is written."""

    name: str
    holds: str
    extra: str | None
    write: Callable[[Path], object]


def export_case(folder: Path, observer: Observer = SILENT) -> Written:
    """Export a run folder from its files alone; what cannot be made is left out with its reason.

    DICOM objects go into the study of the run's CT and need that CT to be DICOM; the encapsulated PDF needs
    ``report.pdf``, so export after the report.

    Raises
    ------
    InputError
        If the folder is no run folder, or one of its files is damaged.
    """
    from vertecast.report.case_report_run import read_run_folder

    run = read_run_folder(folder)
    record = Record("report --export", observer)
    outputs: dict[str, str] = {}
    with run_folder(folder) as staging:
        with record.stage("Exporting"):
            below = staging / FOLDER
            below.mkdir()
            for one in _artefacts(run, record, below):
                reason = (missing_extra(one.extra) if one.extra else None) or _written(one, below / one.name, run)
                if reason:
                    record.skip(f"{FOLDER}/{one.name}", reason)
                else:
                    outputs[f"{FOLDER}/{one.name}"] = one.holds
        if "manifest" in run.documents:
            before = run.documents["manifest"]
            before = {**before, "outputs": [one for one in before["outputs"] if not _ours(one["file"])]}
            write_json(staging / MANIFEST, with_artefacts(before, record.manifest(outputs), _ours))
    for one in run.document("manifest").get("outputs", []):
        if _ours(one["file"]) and one["file"] not in outputs:
            (folder / one["file"]).unlink(missing_ok=True)  # of an earlier state of the run
    return Written(folder, tuple(outputs), tuple(record.skipped))


def _ours(name: str) -> bool:
    """Tell whether an artefact of the manifest is an export."""
    return name.startswith(f"{FOLDER}/")


def _written(one: _Artefact, path: Path, run: "RunFolder") -> str | None:
    """Write one artefact; return the reason if it cannot be, with no path of an input: it may hold a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        one.write(path)
    except _GONE as exc:
        reason = str(exc).replace(str(path), path.name)
        for role, said in run.document("manifest").get("run", {}).get("paths", {}).items():
            reason = reason.replace(said, f"the run's {role}")
        return reason.replace(str(run.path), run.path.name)
    return None


def _artefacts(run: "RunFolder", record: Record, below: Path) -> Iterator[_Artefact]:
    from vertecast.report.export import fhir, table

    def text(make: Callable[["RunFolder"], str]) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(make(run).encode("utf-8"))

    yield _Artefact("measurements.csv", "every number of the run, one a row", None, text(table.table_csv))
    yield _Artefact("bundle.fhir.json", "FHIR R4B bundle of the run", "fhir", text(fhir.fhir_bundle))
    yield from _segmentations(run)
    yield from _dicom(run, below)
    yield from _meshes(run, record)


def _segmentations(run: "RunFolder") -> Iterator[_Artefact]:
    from vertecast.report.export import segmentations as made

    yield _Artefact(
        "vertebrae.seg.nrrd",
        "the vertebra labels for 3D Slicer, LPS",
        None,
        lambda path: made.export_vertebrae_nrrd(run, path),
    )
    for level in _cemented(run):
        yield _Artefact(
            f"cement_{level}.seg.nrrd",
            f"{level}: the simulated cement for 3D Slicer, LPS",
            None,
            lambda path, level=level: made.export_cement_nrrd(run, level, path),  # type: ignore[misc]
        )


def _dicom(run: "RunFolder", below: Path) -> Iterator[_Artefact]:
    from vertecast.report.export import dicom_objects, dicom_report

    seg = "dicom/vertebrae_seg.dcm"
    study = "in the source study"
    yield _Artefact(
        seg,
        f"DICOM SEG of the vertebrae, {study}",
        "dicom",
        lambda path: dicom_objects.export_vertebrae_seg(run, path),
    )
    for level in _cemented(run):
        yield _Artefact(
            f"dicom/cement_{level}_seg.dcm",
            f"{level}: DICOM SEG of the simulated cement, {study}",
            "dicom",
            lambda path, level=level: dicom_objects.export_cement_seg(run, level, path),  # type: ignore[misc]
        )
    yield _Artefact(
        "dicom/measurements_sr.dcm",
        f"DICOM SR, TID 1500, of the measurements and the planned needles, {study}",
        "dicom",
        lambda path: dicom_report.export_sr(run, path, seg=below / seg if (below / seg).is_file() else None),
    )
    yield _Artefact(
        "dicom/report_pdf.dcm",
        f"the report as Encapsulated PDF, {study}",
        "dicom",
        lambda path: dicom_objects.export_pdf(run, path),
    )


def _meshes(run: "RunFolder", record: Record) -> Iterator[_Artefact]:
    if (remedy := missing_extra("report")) is not None:
        record.skip(f"{FOLDER}/meshes", remedy)
        return
    from vertecast.report.export import meshes

    try:
        parts = meshes.run_parts(run)
    except _GONE as exc:
        record.skip(f"{FOLDER}/meshes", str(exc))
        return
    for part in parts:
        yield _Artefact(
            f"meshes/{part.file_stem}.stl",
            f"surface of {part.name}, STL, LPS mm",
            None,
            lambda path, part=part: meshes.write_stl(path, part),  # type: ignore[misc]
        )
    yield _Artefact(
        "meshes/scene.glb",
        "the surfaces at the end as glTF 2.0, metres, +Y superior",
        None,
        lambda path: meshes.write_gltf(path, meshes.at_the_end(parts)),
    )


def _cemented(run: "RunFolder") -> tuple[str, ...]:
    """Return the levels that the run holds a cement field of."""
    return tuple(level for level in run.levels if (run.path / "fields" / level / "cement_fraction.nii.gz").is_file())
