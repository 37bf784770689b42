"""A run as a FHIR R4B bundle: patient by case id, observations, the simulated procedure, one diagnostic report."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

from vertecast.core.errors import InputError
from vertecast.imaging.segmentation import load_codes
from vertecast.report.case_report_run import NO_CASE_ID, RunFolder
from vertecast.report.export.measurements import Row, export_codes, run_rows

Resource = dict[str, Any]

NOTICE = "Research and education; not a medical device."
_SIMULATED = "Planned and simulated on a computer; nothing was done to the patient."
_UCUM, _SNOMED, _LOINC = "http://unitsofmeasure.org", "http://snomed.info/sct", "http://loinc.org"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_TEST_DATA = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}


def fhir_bundle(run: RunFolder) -> str:
    """Return the bundle as JSON, each resource checked against R4B; the same text for the same run.

    Every number of ``spine.json``, ``simulation.json`` and ``outcome.json`` is one Observation, with its 95 % interval
    as two components, or with the reason it is absent; numbers of populations are none of this patient and stay
    out. Each operated level is one Procedure in preparation, since it was only simulated. Every resource is tagged
    as test data; no name, date or identifier of the patient is in it.

    Raises
    ------
    InputError
        If ``fhir.resources`` is not installed, or the run gives no case id to tell two patients apart.
    """
    try:
        from fhir.resources.R4B.bundle import Bundle
    except ImportError as exc:
        raise InputError("the FHIR bundle needs fhir.resources; install vertecast[fhir]") from exc
    if run.case_id == NO_CASE_ID:
        raise InputError(
            f"{run.path} gives no case id, and two patients could be taken for one; keep its manifest.json"
        )
    maker = _Maker(run.case_id)
    patient = maker.entry("Patient", "patient", {"identifier": [{"value": run.case_id}]})
    observed = [maker.observation(row) for row in run_rows(run) if not row.of_population]
    observed += list(_answers(run, maker))
    procedures = list(_procedures(run, maker))
    report = maker.entry("DiagnosticReport", "report", _report(run, observed, procedures))
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "identifier": {"value": run.case_id},
        "entry": [report, patient, *procedures, *observed],
    }
    checked = Bundle.model_validate(bundle)
    return json.dumps(json.loads(checked.model_dump_json()), indent=1, ensure_ascii=False) + "\n"


class _Maker:
    """Gives each resource of one case its name, subject and tag."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        self.subject = {"reference": self.name("patient")}

    def name(self, what: str) -> str:
        """Return the URN of a resource: the same for the same case and name."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"vertecast:{self.case_id}:{what}").urn

    def entry(self, kind: str, what: str, content: Resource) -> Resource:
        """Return a bundle's entry."""
        tagged = {"resourceType": kind, "meta": {"tag": [_TEST_DATA]}, **content}
        return {"fullUrl": self.name(what), "resource": tagged}

    def observation(self, row: Row) -> Resource:
        """Return one number as an Observation."""
        name = ".".join(part for part in (row.document, row.level, row.quantity) if part)
        content: Resource = {
            "status": "preliminary",
            "identifier": [{"value": name}],
            "category": [_category("imaging" if row.document == "spine" else "exam")],
            "code": {"text": f"{row.level} {row.words}".strip()},
            "subject": self.subject,
        }
        if row.level:
            content["bodySite"] = _site(row.level)
        if row.method:
            content["method"] = {"text": row.method}
        if row.document != "spine":
            content["note"] = [{"text": _SIMULATED}]
        return self.entry("Observation", name, content | _value(row))


def _value(row: Row) -> Resource:
    if row.number is None:
        unknown = {"system": _ABSENT, "code": "unknown", "display": "Unknown"}
        return {"dataAbsentReason": {"coding": [unknown], "text": row.reason}}
    said: Resource = {"valueQuantity": _quantity(row.value, row.unit)}
    if row.interval is not None:
        said["component"] = [
            {"code": {"text": f"{end} end of the 95 % interval"}, "valueQuantity": _quantity(value, row.unit)}
            for end, value in (("lower", row.low), ("upper", row.high))
        ]
    return said


def _quantity(value: str, ucum: str) -> Resource:
    return {"value": float(value), "unit": ucum, "system": _UCUM, "code": ucum}


def _category(code: str) -> Resource:
    return {"coding": [{"system": _CATEGORY, "code": code}]}


def _site(level: str) -> Resource:
    codes = load_codes()
    code = next((code for one, code in codes.codes.items() if one.value == level), codes.parent)
    return {"coding": [{"system": _SNOMED, "code": code}], "text": level}


def _answers(run: RunFolder, maker: _Maker) -> Iterator[Resource]:
    """Yield what the patient said and a public code is known for, once per case."""
    facts: Resource = {}
    for level in run.levels:
        facts = run.level("indication", level).get("facts", {}) | facts
    for name, code in export_codes()["loinc"].items():
        value = facts.get(name)
        if isinstance(value, dict):
            value = value.get("value")
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        content = {
            "status": "preliminary",
            "identifier": [{"value": f"patient.{name}"}],
            "category": [_category("survey")],
            "code": {"coding": [{"system": _LOINC, "code": code["code"]}], "text": code["text"]},
            "subject": maker.subject,
            "valueQuantity": _quantity(repr(value), code["unit"]),
        }
        yield maker.entry("Observation", f"patient.{name}", content)


def _procedures(run: RunFolder, maker: _Maker) -> Iterator[Resource]:
    for level in run.levels:
        name = run.level("plan", level).get("procedure") or run.document("simulation").get("procedure")
        if name is None:
            continue
        content = {
            "status": "preparation",
            "code": {"text": f"{name} of {level}, percutaneous"},
            "subject": maker.subject,
            "bodySite": [_site(level)],
            "note": [{"text": _SIMULATED}],
        }
        sentence = run.level("plan", level).get("sentence")
        if sentence:
            content["note"] = [*content["note"], {"text": str(sentence)}]
        yield maker.entry("Procedure", f"procedure.{level}", content)


def _report(run: RunFolder, observed: list[Resource], procedures: list[Resource]) -> Resource:
    planned = [one["resource"]["code"]["text"] for one in procedures]
    content: Resource = {
        "status": "preliminary",
        "code": {"text": "Vertebral augmentation: measurements, plan and simulation"},
        "subject": {"reference": _Maker(run.case_id).name("patient")},
        "result": [{"reference": one["fullUrl"]} for one in observed],
        "conclusion": " ".join([f"Simulated: {', '.join(planned)}." if planned else "Measured only.", NOTICE]),
    }
    if (run.path / "report.pdf").is_file():
        content["presentedForm"] = [{"contentType": "application/pdf", "url": "../report.pdf", "title": "Report"}]
    return content
