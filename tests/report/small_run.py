"""A small run folder, made by hand: three boxes for vertebrae, cement on the patient's left half of the middle one."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vertecast.core.provenance import digest
from vertecast.imaging.grid import Grid
from vertecast.imaging.png import write_png
from vertecast.imaging.write import write_nifti

LEVEL = "L2"
SHAPE = (60, 50, 90)
# Array axes run to the patient's right, anterior and superior, so that a forgotten affine shows.
AFFINE = np.array([[-1.0, 0, 0, 29.5], [0, -1.0, 0, 24.5], [0, 0, 1.0, -44.5], [0, 0, 0, 1.0]])
GRID = Grid.from_affine(SHAPE, AFFINE)
FIRST_S, LAST_S = 300.0, 360.0


def q(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "method": "by hand"}


def places_lps() -> np.ndarray:
    return GRID.to_lps(np.moveaxis(np.indices(SHAPE), 0, -1))


def labels_array() -> np.ndarray:
    """(nx, ny, nz): L1, L2 and L3 as boxes of 30 x 24 x 20 mm, VerSe numbers."""
    x, y, z = np.moveaxis(places_lps(), -1, 0)
    labels = np.zeros(SHAPE, np.int16)
    for number, middle in ((20, 28.0), (21, 0.0), (22, -28.0)):
        labels[(np.abs(x) < 15) & (np.abs(y) < 12) & (np.abs(z - middle) < 10)] = number
    return labels


def cement_mask() -> np.ndarray:
    """(nx, ny, nz): a ball of 6 mm, 7 mm to the patient's left of the middle."""
    return np.linalg.norm(places_lps() - np.array([7.0, 0.0, 0.0]), axis=-1) < 6.0


def write_run(folder: Path, inputs: Path) -> Path:
    """Write a whole run folder; CT and labels go to ``inputs``."""
    folder.mkdir(parents=True)
    inputs.mkdir(parents=True, exist_ok=True)
    labels = labels_array()
    hu = np.where(labels > 0, 300, -50).astype(np.int16)
    write_nifti(inputs / "ct.nii.gz", hu, GRID)
    write_nifti(inputs / "labels.nii.gz", labels, GRID)
    _write_fields(folder / "fields" / LEVEL, labels)
    for name, document in _documents(inputs).items():
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "events.jsonl").write_text("\n".join(json.dumps(e) for e in _events()) + "\n", encoding="utf-8")
    grey = np.linspace(0, 255, 64 * 64).astype(np.uint8).reshape(64, 64)
    for view in ("ap", "lateral"):
        for share in ("000", "100"):
            (folder / "fluoro").mkdir(exist_ok=True)
            write_png(folder / "fluoro" / f"{LEVEL}_{view}_{share}.png", grey)
    (folder / "pictures").mkdir()
    write_png(folder / "pictures" / f"plan_{LEVEL}.png", grey)
    return folder


def _write_fields(folder: Path, labels: np.ndarray) -> None:
    folder.mkdir(parents=True)
    cement = cement_mask()
    far = np.linalg.norm(places_lps() - np.array([7.0, 0.0, 0.0]), axis=-1)
    arrival = np.where(cement, FIRST_S + (LAST_S - FIRST_S) * far / 6.0, np.nan)
    regions = np.zeros(SHAPE, np.uint8)
    regions[labels == 21] = 1
    regions[np.isin(labels, (20, 22))] = 6
    _, y, _ = np.moveaxis(places_lps(), -1, 0)
    regions[(np.abs(y - 18) < 4) & (regions == 0)] = 4
    fields = {
        "cement_arrival_s": arrival,
        "cement_fraction": np.where(cement, 0.6, 0.0),
        "pore_fraction": np.full(SHAPE, 0.7),
        "density_k2hpo4_mg_cm3": np.where(labels > 0, 150.0, 0.0),
        "peak_temperature_degc": 37.0 + 40.0 * np.exp(-((far / 8.0) ** 2)),
    }
    for stem, values in fields.items():
        write_nifti(folder / f"{stem}.nii.gz", values.astype(np.float32), GRID)
    write_nifti(folder / "regions.nii.gz", regions, GRID)


def _documents(inputs: Path) -> dict[str, Any]:
    return {
        "manifest": _manifest(inputs),
        "spine": {"schema": "vertecast/spine/1", "posture": {"value": "supine"}, "vertebrae": [_vertebra()]},
        "indication": {"schema": "vertecast/indication/1", "levels": {LEVEL: _indication()}},
        "plan": {"schema": "vertecast/plan/1", "levels": {LEVEL: _plan()}, "care": _care()},
        "simulation": {"schema": "vertecast/simulation/1", "levels": {LEVEL: _simulation()}},
        "outcome": {"schema": "vertecast/outcome/1", "levels": {LEVEL: _outcome()}},
    }


def _manifest(inputs: Path) -> dict[str, Any]:
    paths = {"ct": inputs / "ct.nii.gz", "labels": inputs / "labels.nii.gz"}
    used = [("bone.modulus", 8.0, "measured"), ("cement.heat", 3.5, "reported"), ("vein.radius", 1.0, "assumed")]
    return {
        "schema": "vertecast/manifest/1",
        "command": "run",
        "software": {"vertecast": "0.1.0"},
        "inputs": [{"role": role, "sha256": digest(path).sha256} for role, path in paths.items()],
        "seed": 7,
        "parameters": [
            {"name": n, "value": v, "unit": "mm", "source": f"source of {n}", "status": s} for n, v, s in used
        ],
        "warnings": [f"{inputs / 'ct.nii.gz'}: thick slices"],
        "skipped": [],
        "outputs": [
            {"file": f"fluoro/{LEVEL}_ap_000.png", "holds": f"{LEVEL}: ap view with 0 % of the cement in"},
        ],
        "run": {
            "started": "2026-11-21T06:57:01+00:00",
            "paths": {role: str(path) for role, path in paths.items()},
            "stages": [{"name": "Measuring", "seconds": 1.5, "peak_memory_mib": 300.0}],
        },
    }


def _vertebra() -> dict[str, Any]:
    section = {"anterior": [0.0, -12.0, 10.0], "middle": [0.0, 0.0, 10.0], "posterior": [0.0, 12.0, 10.0]}
    low = {place: [x, y, -z] for place, (x, y, z) in section.items()}
    return {
        "level": LEVEL,
        "frame": {
            "origin_lps_mm": [0.0, 0.0, 0.0],
            "left_lps": [1.0, 0.0, 0.0],
            "posterior_lps": [0.0, 1.0, 0.0],
            "superior_lps": [0.0, 0.0, 1.0],
        },
        "heights_mm": {place: q(20.0, 19.4, 20.6) for place in section},
        "six_points_lps_mm": {"middle": {"superior": section, "inferior": low}},
        "height_loss_percent": {**q(27.3, 20.1, 34.9), "place": "anterior"},
        "wedge_angle_deg": q(-8.04, -9.5, -6.6),
        "bisegmental_kyphosis_deg": {"value": None, "reason": "L1 is not whole"},
        "genant": {"grade": 2.0, "shape": "wedge", "borderline": True, "reason": "27 % below the neighbours"},
        "of_class": "OF3",
    }


def _indication() -> dict[str, Any]:
    clause = {"id": "pain", "text": "pain of 7 or more", "truth": "unknown", "assumed": False, "source": "S1"}
    decided = {
        "pack": "of",
        "title": "OF score",
        "verified": True,
        "state": "decided",
        "answer": "augmentation",
        "stance": "for",
        "sentence": "augmentation (6 points)",
        "clauses": [clause],
    }
    open_one = {
        **decided,
        "title": "NICE TA279",
        "verified": False,
        "state": "cannot decide",
        "missing": ["nrs"],
        "sentence": "cannot decide (missing nrs); open: recommended / outside",
    }
    return {
        "verdicts": [decided, open_one],
        "dissent": [],
        "missing": [
            {"name": "nrs", "meaning": "pain now, 0 to 10", "unit": "1", "reason": "not given", "packs": ["a"]}
        ],
        "facts": {"age_years": 74, "sex": "female", "acuity": "acute_likely"},
    }


def _plan() -> dict[str, Any]:
    needle = {
        "side": "left",
        "approach": "transpedicular",
        "tool": {"name": "11G", "outer_diameter_mm": 3.05, "length_mm": 150.0},
        "entry_lps_mm": [16.0, 40.0, 4.0],
        "tip_lps_mm": [8.0, -4.0, 0.0],
        "clearances_mm": {"canal": 3.17, "nerve_root": 4.9, "bone_wall": 2.25},
        "robustness": 0.78,
        "bulls_eye": {"rotation_deg": 15.3, "tilt_deg": -6.2},
    }
    plan = {"layout": "unilateral", "robustness": 0.78, "score": 3.0, "needles": [needle]}
    volumes = {"cement_ml": {"value": 4.0, "low": 3.0, "high": 5.0, "method": "range"}, "reasons": ["20 % of the body"]}
    return {"procedure": "vertebroplasty", "sentence": f"{LEVEL}: unilateral", "plans": [plan], "volumes": volumes}


def _care() -> dict[str, Any]:
    both = [
        {"low": 5.0, "high": 5.0, "unit": "min", "source": "page A", "status": "reported"},
        {"low": 11.0, "high": 11.0, "unit": "min", "source": "page B", "status": "measured"},
    ]
    return {"cement_hardening": {"sources_disagree": True, "statements": both}}


def _simulation() -> dict[str, Any]:
    return {
        "cement": "pmma-medium-viscosity",
        "calibrated": False,
        "injected_ml": {"left": 2.5},
        "leaked_ml": {"disc": 0.2, "canal": 0.0},
        "leak_onset_s": {"disc": 336.0, "canal": None},
        "fill_of_body_percent": 20.1,
        "heat": {"cement_peak_degc": 82.8, "canal_peak_degc": 40.2, "hard_s": 938.0},
    }


def _outcome() -> dict[str, Any]:
    arms = ("before", "fractured", "after")
    stiffness = [q(9000.0, 8000.0, 10000.0), q(4000.0, 3000.0, 5000.0), q(7500.0, 6500.0, 8500.0)]
    return {
        "mechanics": {"stiffness_n_mm": dict(zip(arms, stiffness, strict=True))},
        "adjacent_levels": {"L1": {"disc_pressure_mpa": {"fractured": q(0.5, 0.4, 0.6), "after": q(0.6, 0.5, 0.7)}}},
        "population_risks": [{"risk": "embolism", "value": None, "source": "no number is known"}],
    }


def _events() -> list[dict[str, Any]]:
    def event(seq: int, t: float, kind: str, **data: Any) -> dict[str, Any]:
        return {"seq": seq, "t_s": t, "level": LEVEL, "side": "left", "kind": kind, "data": data}

    return [
        event(0, 0.0, "access"),
        event(1, 298.0, "injection_started", planned_ml=2.5),
        event(2, 330.0, "progress", injected_ml=1.2, syringe_pressure_bar=9.0),
        event(3, 336.0, "leak", route="disc"),
        event(4, LAST_S, "progress", injected_ml=2.5, syringe_pressure_bar=14.0),
        event(5, LAST_S, "stop", reason="planned_volume", sentence="the planned volume is in"),
        event(6, LAST_S, "injection_ended", injected_ml=2.5),
        event(7, LAST_S + 1.0, "needle_removed"),
    ]
