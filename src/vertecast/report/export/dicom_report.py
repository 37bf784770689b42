"""DICOM Structured Report, TID 1500: the measurements of every level and the planned needles, in the source study."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from vertecast.core.files import atomic_path
from vertecast.imaging.segmentation import load_codes, source_headers
from vertecast.report.case_report_run import RunFolder
from vertecast.report.export.dicom_objects import source_ct
from vertecast.report.export.measurements import Row, export_codes, run_rows


def export_sr(run: RunFolder, path: Path, *, seg: Path | None = None) -> Path:
    """Write the report as a Comprehensive 3D SR.

    One measurement group per level, at its SNOMED site and with its segment where ``seg`` has it. A value carries its
    UCUM unit, its 95 % interval as lower and upper uncertainty, and as a comment its key and how it was got. An
    unknown one is absent: a comment of the group names it and the reason. Planned needles are 3-D polylines, entry
    to tip, in the CT's frame of reference. What was simulated is not measured and is left out.

    Notes
    -----
    The standard would also allow a number with no value and a qualifier; common readers refuse that.

    Parameters
    ----------
    seg : the DICOM SEG of the vertebrae that the groups refer to

    Raises
    ------
    InputError
        If the run's CT is not DICOM or has gone, or highdicom is not installed.
    """
    headers = source_headers(path, source_ct(run))
    import highdicom

    writer = _Writer(highdicom, run, headers, pydicom.dcmread(seg) if seg is not None else None)
    made = highdicom.sr.Comprehensive3DSR(
        evidence=[*headers, *([writer.seg] if writer.seg is not None else [])],
        content=writer.report(),
        series_instance_uid=generate_uid(),
        series_number=902,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Vertecast",
        manufacturer_model_name="Vertecast",
        software_versions=metadata.version("vertecast"),
        series_description="Vertecast measurements",
    )
    scheme = export_codes()["private_scheme"]
    named = Dataset()
    named.CodingSchemeDesignator, named.CodingSchemeName = scheme["designator"], scheme["name"]
    named.CodingSchemeResponsibleOrganization = scheme["organization"]
    made.CodingSchemeIdentificationSequence = [*made.get("CodingSchemeIdentificationSequence", []), named]
    with atomic_path(path) as temporary:
        made.save_as(temporary)
    return path


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """Turns rows of a run into highdicom's templates."""

    highdicom: Any
    run: RunFolder
    headers: list[Dataset]
    seg: Dataset | None

    def report(self) -> Any:
        sr = self.highdicom.sr
        observer = sr.ObserverContext(
            observer_type=sr.CodedConcept("121007", "DCM", "Device"),
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=generate_uid(entropy_srcs=["vertecast", metadata.version("vertecast")]),
                name="Vertecast",
                manufacturer_name="Vertecast",
                model_name=f"Vertecast {metadata.version('vertecast')}",
            ),
        )
        return sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_device_context=observer),
            procedure_reported=sr.CodedConcept("77477000", "SCT", "Computed tomography"),
            imaging_measurements=[*self._levels(), *self._needles()],
        )

    def _levels(self) -> Iterator[Any]:
        rows = run_rows(self.run, ("spine",))
        for level in dict.fromkeys(row.level for row in rows):
            own = [row for row in rows if row.level == level]
            group = self._group(level, [self._measurement(row) for row in own if row.number is not None])
            for row in own:
                if row.number is None:
                    said = f"{row.quantity}: unknown, {row.reason}"
                    group[0].ContentSequence.append(self._comment(said, "CONTAINS"))
            yield group

    def _group(self, level: str, measurements: list[Any]) -> Any:
        sr = self.highdicom.sr
        said: dict[str, Any] = {
            "tracking_identifier": sr.TrackingIdentifier(uid=generate_uid(), identifier=level or "whole spine"),
            "finding_sites": [sr.FindingSite(_site(sr, level))],
            "measurements": measurements,
            "qualitative_evaluations": list(self._findings(level)),
        }
        number = self._segment_of(level)
        if number is None or self.seg is None:
            return sr.MeasurementsAndQualitativeEvaluations(**said)
        series = sr.SourceSeriesForSegmentation(self.headers[0].SeriesInstanceUID)
        where = sr.ReferencedSegment(self.seg.SOPClassUID, self.seg.SOPInstanceUID, number, source_series=series)
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=where, **said)

    def _segment_of(self, level: str) -> int | None:
        segments: Iterable[Dataset] = self.seg.SegmentSequence if self.seg is not None else ()
        return next((int(one.SegmentNumber) for one in segments if one.SegmentLabel == f"vertebrae_{level}"), None)

    def _findings(self, level: str) -> Iterator[Any]:
        vertebra = self.run.vertebra(level)
        genant = vertebra.get("genant") or {}
        if genant.get("grade") is not None:
            said = f"grade {genant['grade']:g} {genant.get('shape') or ''}".strip()
            yield self._finding("genant", "Genant grade and shape", said)
        if isinstance(vertebra.get("of_class"), str):
            yield self._finding("of_class", "OF class (AO Spine-DGOU)", vertebra["of_class"])

    def _finding(self, key: str, name: str, value: str) -> Any:
        sr = self.highdicom.sr
        return sr.QualitativeEvaluation(name=self._private(key, name), value=self._private(f"{key}={value}", value))

    def _measurement(self, row: Row) -> Any:
        sr = self.highdicom.sr
        unit, value = _unit(sr, row.unit), row.number or 0.0
        made = sr.Measurement(name=self._private(row.quantity, row.words), value=_decimal(value), unit=unit)
        children = []
        if row.interval is not None:
            low, high = row.interval
            children += [
                _uncertainty(sr, "371886008", "+, range of upper measurement uncertainty", high - value, unit),
                _uncertainty(sr, "371885007", "-, range of lower measurement uncertainty", value - low, unit),
            ]
        said = f"{row.quantity}: {row.method}" if row.method else row.quantity
        children.append(self._comment(said, "HAS PROPERTIES"))
        made[0].ContentSequence = sr.ContentSequence(children)
        return made

    def _comment(self, said: str, relationship: str) -> Any:
        sr = self.highdicom.sr
        name = sr.CodedConcept("121106", "DCM", "Comment")
        return sr.TextContentItem(name=name, value=said, relationship_type=relationship)

    def _needles(self) -> Iterator[Any]:
        sr = self.highdicom.sr
        frame = self.headers[0].FrameOfReferenceUID
        for level in self.run.levels:
            plans = self.run.level("plan", level).get("plans") or [{}]
            for one in plans[0].get("needles", []):
                ends = np.array([one["entry_lps_mm"], one["tip_lps_mm"]], float)
                measured = sr.Measurement(
                    name=self._private("planned_needle_path_mm", "planned needle, entry at the bone to tip"),
                    value=_decimal(float(np.linalg.norm(ends[1] - ends[0]))),
                    unit=_unit(sr, "mm"),
                    referenced_coordinates=[sr.CoordinatesForMeasurement3D("POLYLINE", ends, frame)],
                )
                name = f"planned needle {level} {one['side']}"
                yield sr.MeasurementsAndQualitativeEvaluations(
                    tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier=name),
                    finding_type=sr.CodedConcept("79068005", "SCT", "Needle"),
                    finding_sites=[sr.FindingSite(_site(sr, level))],
                    measurements=[measured],
                )

    def _private(self, value: str, meaning: str) -> Any:
        scheme = export_codes()["private_scheme"]["designator"]
        return self.highdicom.sr.CodedConcept(short_code(value), scheme, meaning[:64])


def short_code(key: str) -> str:
    """Return a key as a code value of at most 16 characters: itself, or its beginning and a digest of the whole.

    The standard's long code values would hold it, but common readers look for short ones only.

    >>> short_code("wedge_angle_deg"), short_code("heights_mm.anterior")
    ('wedge_angle_deg', 'heights~86668cef')
    """
    return key if len(key) <= 16 else f"{key[:7]}~{sha256(key.encode()).hexdigest()[:8]}"


def _site(sr: Any, level: str) -> Any:
    """Return the SNOMED code of a level; the parent for one without its own (T13, L6), the spine for none."""
    if not level:
        return sr.CodedConcept("421060004", "SCT", "Spine")
    codes = load_codes()
    code = next((code for one, code in codes.codes.items() if one.value == level), codes.parent)
    return sr.CodedConcept(code, "SCT", f"{level} vertebra")


def _unit(sr: Any, ucum: str) -> Any:
    return sr.CodedConcept(ucum, "UCUM", "no units" if ucum == "1" else ucum)


def _uncertainty(sr: Any, code: str, meaning: str, value: float, unit: Any) -> Any:
    return sr.NumContentItem(
        name=sr.CodedConcept(code, "SCT", meaning),
        value=_decimal(value),
        unit=unit,
        relationship_type="HAS PROPERTIES",
    )


def _decimal(value: float) -> float:
    """Return the value to eight digits: a decimal string of DICOM holds 16 characters."""
    return float(f"{value:.8g}")
