"""The surgeon's report of a run folder: it holds what the run holds, says what is absent, leaks no name.

Laterality is checked on pixels: cement on the patient's left must lie where a surgeon expects it in each picture.
"""

import json
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray
from pypdf import PdfReader
from tests.report.small_run import LEVEL, q, write_run
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.core.errors import InputError
from vertecast.imaging.write import write_nifti
from vertecast.pipeline import report as stage
from vertecast.pipeline.report import report_case
from vertecast.report import case_report as composer
from vertecast.report import scene3d
from vertecast.report.case_report import LARGEST_HTML_MB, CaseReport, make_case_report
from vertecast.report.case_report_blocks import Chart, Folded, Note, Subheading, Table
from vertecast.report.case_report_limits import without_paths
from vertecast.report.case_report_planes import cement_picture, fracture_picture, temperature_picture
from vertecast.report.case_report_run import RunFolder, read_run_folder
from vertecast.report.view3d import make_scene

TITLES = (
    "Patient and scan",
    "Fracture",
    "Indication",
    "Plan",
    "Fluoroscopy, step by step",
    "Balloon",
    "Cement",
    "Temperatures",
    "Mechanics and shape, before and after",
    "Adjacent levels",
    "Known risks and no operation",
    "Limits",
    "Parameters and sources",
)


def words(html: str) -> str:
    """The text of a page: no scripts, no styles, no pictures."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)).replace("\u202f", " ")


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the 3-D view and the patient's pages out, where they are not what is tested."""
    monkeypatch.setattr(composer, "_scene", lambda run: (None, [], "not asked for"))
    monkeypatch.setattr(stage, "write_patient_pages", lambda *_, **__: {})


@pytest.fixture
def slim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the stills' rendering and the patient's pages out."""
    grey = np.full((8, 8, 3), 200, np.uint8)
    monkeypatch.setattr(scene3d, "scene_pictures", lambda scene: [grey] * len(scene3d.LOOKS))
    monkeypatch.setattr(stage, "write_patient_pages", lambda *_, **__: {})


@pytest.fixture(scope="module")
def page(small_report: CaseReport) -> str:
    return small_report.html()


def test_sections_stand_in_the_surgeons_order(small_report: CaseReport) -> None:
    assert tuple(section.title for section in small_report.sections) == TITLES
    assert all(section.blocks for section in small_report.sections)


@pytest.mark.parametrize(
    "said",
    [
        "Vertebroplasty of L2",
        "height loss 27 (20 to 35) %, Genant 2 wedge, OF3",
        "1 of 2 rule packs decided. OF score: augmentation (for)",
        "1 fact is missing. Still possible: recommended · outside.",
        "unknown: L1 is not whole",
        "−8.04 (−9.50 to −6.60)°",
        "ray from the left 15°, from caudal 6°",
        "Cement hardening ≠ 5 min page A",
        "Leak, disc 0.20 mL, from 5:36 min",
        "Leak, canal none",
        "L2 left: stopped: the planned volume is in",
        "Hottest, canal 40.2 °C",
        "9000 (8000 to 10000) N/mm",
        "no number is known",
        "bone.modulus 8 mm source of bone.modulus",
        "This run used 3 parameters: 1 measured, 1 reported, 1 assumed",
        "Not a medical device: it must not be used to treat a patient.",
        "uncalibrated, so porosity and flow too",
    ],
)
def test_the_page_says(page: str, said: str) -> None:
    assert said in words(page)


def test_pictures_are_inside_and_nothing_is_fetched(page: str) -> None:
    sources = re.findall(r'<img src="([^"]{5,40})', page)
    # fracture, plan, four stills, three views of the scene, cement, temperature
    assert len(sources) == 11
    assert all(source.startswith("data:image/") for source in sources)
    # Only the references lead elsewhere, and only when they are followed.
    assert all(one.startswith(("#", "https://")) for one in re.findall(r'href="([^"]*)"', page))
    assert all("rel=" in one for one in re.findall(r'<a href="http[^>]*>', page))
    assert not re.search(
        r"<(link|iframe|object|embed)\b|@import|url\(", re.sub(r"<script.*?</script>", "", page, flags=re.S)
    )
    assert len(page.encode()) < LARGEST_HTML_MB * 1e6
    assert len(re.findall(r'<img [^>]*alt="[^"]{10,}', page)) == len(sources)


def test_no_name_and_no_folder_of_the_inputs_is_shown(page: str, small_report: CaseReport) -> None:
    assert "case-" in page
    for text in (page, small_report.html(paper=True)):
        assert "DOE_JANE" not in text
    assert without_paths("/a/DOE/ct.nii.gz: thick", ["/a/DOE/ct.nii.gz"]) == "the image: thick"


def test_arms_stand_side_by_side_with_a_chart(small_report: CaseReport) -> None:
    mechanics, adjacent, risks = small_report.sections[8:11]
    assert Subheading("Mechanics") in mechanics.blocks
    table = next(block for block in mechanics.blocks if isinstance(block, Table))
    assert tuple(table.heads) == ("", "Before", "Fractured", "After", "How it was got")
    assert table.rows[0][0] == "Stiffness"
    assert table.rows[0][-1] == "by hand"
    chart = next(block for block in mechanics.blocks if isinstance(block, Chart))
    assert chart.svg.count("<circle") == 3
    assert Subheading("L1") in adjacent.blocks
    assert "Disc pressure" in str(adjacent.blocks)
    assert "embolism" in str(risks.blocks)
    assert "embolism" not in str(mechanics.blocks)


OUTCOME: dict[str, Any] = {
    "mechanics": {
        "load_n": {
            "lifting_10_kg": {"before": q(1960, 1470, 2450), "after": q(2047, 1470, 2750)},
            "standing": {"before": q(365, 274, 456), "after": {**q(529, 274, 1030), "method": "balance"}},
        },
        "load_to_strength_ratio": {"standing": {"fractured": q(0.388, 0.1, 2.9), "after": q(0.384, 0.09, 3.05)}},
    },
    "shape": {"height_kept_mm": {"middle": {"value": -0.0165, "low": None, "high": None, "method": "label"}}},
    "leakage": {
        "leaked_ml": {"disc": {"value": 0.00026, "method": "sum"}},
        "leak_onset_s": {"disc": {"value": None, "reason": "no leak"}},
    },
    "adjacent_levels": {"L1": {"where": "above", "change_percent": {"disc_pressure": q(0.06, 0.03, 0.07)}}},
}


def test_an_outcome_shows_each_value_with_its_unit_and_source(small_run: Path, tmp_path: Path, flat: None) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    trials = [{"trial": "VERTOS IV 2018", "patients": 180, "source": "physics.md 7"}]
    session = {
        "progression": {"patients_percent": {"no_operation": {"value": 45.0, "method": "of a population: FREE 2009"}}},
        "evidence": {
            "trials": trials,
            "not_promised": "These are results of groups of patients, not a forecast for you.",
        },
    }
    (run / "outcome.json").write_text(json.dumps({"levels": {LEVEL: OUTCOME}, **session}), encoding="utf-8")
    report = sections_only(run)
    page = words(report.html())
    for said in (
        "Load, standing – 365 (274 to 456) N",  # the unit stands above the place
        "Load, lifting 10 kg 1960 (1470 to 2450) N",
        "530 (270 to 1030) N differs between the columns",
        "Load, standing After balance",
        "Height kept, middle −0.02 mm label",
        "Leaked, disc under 0.001 mL sum",
        "Leak onset, disc no leak",
        "L1, above",
        "Change, disc pressure 0.0600 (0.0300 to 0.0700) %",
        "Patients 45 % of a population: FREE 2009 [Wardlaw 2009]",
        "VERTOS IV 2018 [Firanescu 2018] 180",
        "These are results of groups of patients, not a forecast for you.",
        "Mechanics load over strength, standing: fractured 0.388, after 0.384",
    ):
        assert said.replace("– ", "") in page.replace("– ", ""), said
    assert report.sections[-1].title == "References"


def test_who_was_scanned_and_what_is_not_fractured_is_said(small_run: Path, tmp_path: Path, flat: None) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (tmp_path / "patient.toml").write_text("[person]\nweight_kg = 62\nheight_cm = 161\nasa = 2\n", encoding="utf-8")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["run"]["paths"]["patient"] = str(tmp_path / "patient.toml")
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    spine = json.loads((run / "spine.json").read_text(encoding="utf-8"))
    spine["vertebrae"][0] |= {"genant": {"grade": 0.0, "reason": "4 %"}, "reason": "thin"}
    spine["warnings"] = [f"{LEVEL}: thin"]
    (run / "spine.json").write_text(json.dumps(spine), encoding="utf-8")
    page = words(sections_only(run).html())
    assert "Weight 62 kg Height 161 cm BMI 23.9 ASA 2" in page
    assert "Age 74 years Sex female" in page
    assert "Not given" not in page
    assert page.count(f"{LEVEL}: thin") == 1
    assert "Fracture none by its height, height loss 27" in page
    assert f"{LEVEL} is not fractured by its height on this CT." in page


def test_pdf_has_its_pages_and_headings(small_report: CaseReport, tmp_path: Path) -> None:
    small_report.write_pdf(tmp_path / "report.pdf")
    pages = [page.extract_text() for page in PdfReader(tmp_path / "report.pdf").pages]
    assert len(pages) >= 4
    text = " ".join(pages)
    for title in (*TITLES, "Annex: the details of each section"):
        assert title in text, title
    for number, one in enumerate(pages, start=1):
        assert "not a medical device" in one
        assert f"{number} / {len(pages)}" in one
    assert "DOE_JANE" not in text


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("spine.json", "Not part of this run: the measured vertebrae (no spine.json; `vertecast measure` writes it)."),
        ("indication.json", "Not part of this run: what the rule packs say"),
        ("plan.json", "Not part of this run: a plan of the needles"),
        ("simulation.json", "Not part of this run: cement and its spread"),
        ("outcome.json", "Not part of this run: strength and shape before and after"),
        ("manifest.json", "Not part of this run: the parameters used"),
        ("events.jsonl", "No procedure was simulated in this run"),
        ("fluoro", "No fluoroscopy of L2"),
        ("pictures", "No needle views of L2"),
        ("fields", "No planes through the cement of L2"),
    ],
)
def test_what_is_absent_is_said(small_run: Path, tmp_path: Path, flat: None, gone: str, said: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    shutil.rmtree(run / gone) if (run / gone).is_dir() else (run / gone).unlink()
    assert said in words(sections_only(run).html().replace("&#39;", "'"))


def sections_only(run: Path) -> CaseReport:
    return make_case_report(read_run_folder(run))


def test_a_lone_spine_makes_a_report(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "spine.json").write_bytes((small_run / "spine.json").read_bytes())
    report = sections_only(tmp_path)
    assert "Vertebral measurements" in words(report.html())
    assert report.scene_json == ""
    assert any(isinstance(block, Note) for block in report.sections[1].blocks)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("plan.json", "{", "plan.json is not valid JSON"),
        ("plan.json", "[]", "plan.json holds no object"),
        ("events.jsonl", '{"t_s": 1}\n{', "line 2 is not valid JSON"),
        ("events.jsonl", '{"kind": "leak"}', "line 1 is no event"),
    ],
)
def test_damaged_files_are_refused(small_run: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_run_folder(run)


def test_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder; give the run folder"):
        read_run_folder(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"holds none of spine\.json"):
        read_run_folder(tmp_path)


def test_text_of_a_case_cannot_become_markup(small_run: Path, tmp_path: Path, slim: None) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    bad = "</script><script>alert(1)</script>"
    for name in ("plan.json", "events.jsonl"):
        text = (run / name).read_text(encoding="utf-8")
        (run / name).write_text(text.replace("11G", bad).replace("the planned volume is in", bad), encoding="utf-8")
    html = sections_only(run).html()
    assert "alert(1)" in html
    assert "<script>alert" not in html


def test_changed_inputs_are_not_shown_as_the_runs_own(tmp_path: Path, flat: None) -> None:
    run = write_run(tmp_path / "run", tmp_path / "inputs")
    with (tmp_path / "inputs" / "ct.nii.gz").open("ab") as stream:
        stream.write(b"x")
    assert read_run_folder(run).input_path("ct") == (None, "the run's ct has changed since")
    assert "No picture of L2 on the CT: the run&#39;s ct has changed since." in sections_only(run).html()


def test_the_bones_come_from_the_regions_when_the_labels_are_gone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "inputs")
    (tmp_path / "inputs" / "labels.nii.gz").unlink()
    scene = make_scene(read_run_folder(run))
    assert scene is not None
    assert {bone.kind for bone in scene.bones} == {"target", "neighbour", "canal"}
    assert "as far as the simulation's grid reaches" in scene.notes[0]


def orange(png: bytes) -> NDArray[np.bool_]:
    """Where a picture is coloured warmly: cement or heat."""
    red, green, blue = (imread(BytesIO(png))[..., k] for k in range(3))
    return np.asarray((red > 0.45) & (red > blue + 0.2) & (red >= green))


def panel_centre(png: bytes, panel: int) -> tuple[float, float]:
    """Centre of the warm pixels in one of three panels: shares from the left and from the top of the panel."""
    picture = imread(BytesIO(png))[..., :3]
    black = (picture.max(axis=2) < 0.95).mean(axis=0) > 0.2
    edges = np.flatnonzero(np.diff(np.concatenate([[0], black.astype(int), [0]])))
    spans = [(a, b) for a, b in edges.reshape(-1, 2) if b - a > 100]
    a, b = spans[panel]
    rows, columns = np.nonzero(orange(png)[:, a:b])
    return float(columns.mean() / (b - a)), float(rows.mean() / picture.shape[0])


def test_the_view_stands_with_the_plan_until_there_is_cement(small_run: Path, tmp_path: Path, slim: None) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    shutil.rmtree(run / "fields")
    kinds = {section.anchor: [block.kind for block in section.blocks] for section in sections_only(run).sections}
    assert kinds["plan"][0] == "viewer"
    assert "viewer" not in kinds["cement"]


@pytest.mark.parametrize("draw", [cement_picture, temperature_picture])
def test_left_is_on_the_right_of_axial_and_coronal_cuts(small_run: Path, draw: object) -> None:
    run = read_run_folder(small_run)
    png = draw(run, LEVEL)  # type: ignore[operator]
    assert panel_centre(png, 0)[0] > 0.55
    assert panel_centre(png, 1)[0] > 0.55


def test_pictures_are_none_without_their_fields(small_run: Path) -> None:
    bare = RunFolder(small_run / "nowhere", read_run_folder(small_run).documents, ())
    assert cement_picture(bare, LEVEL) is None
    assert temperature_picture(bare, LEVEL) is None
    assert fracture_picture({"level": LEVEL}, None, None) is None  # type: ignore[arg-type]


def test_command_writes_both_and_continues_the_manifest(small_run: Path, tmp_path: Path, slim: None) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    before = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    answer = CliRunner().invoke(app, ["report", str(run), "--json"])
    assert answer.exit_code == 0, answer.output
    assert [one["file"] for one in json.loads(answer.stdout)["files"]] == ["report.html", "report.pdf"]
    after = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert after["parameters"] == before["parameters"]
    assert {"report.html", "report.pdf"} <= {one["file"] for one in after["outputs"]}
    assert after["run"]["stages"][0] == before["run"]["stages"][0]
    repeated = report_case(run)
    assert repeated.skipped == ()
    again = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert len(again["run"]["stages"]) == len(after["run"]["stages"])


def test_missing_library_is_said_not_raised(
    small_run: Path, tmp_path: Path, flat: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    monkeypatch.setattr(stage, "missing_for_report", lambda: {"report.pdf": "install libpango-1.0-0"})
    made = report_case(run)
    assert made.files == ("report.html",)
    assert json.loads((run / "manifest.json").read_text(encoding="utf-8"))["skipped"] == [
        {"artefact": "report.pdf", "reason": "install libpango-1.0-0"}
    ]


def test_a_missing_system_library_names_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError(f"cannot load library for {name}")

    monkeypatch.setattr(stage, "import_module", load)
    missing = stage.missing_for_report()
    assert missing["report.pdf"].endswith("install libpango-1.0-0 and libpangoft2-1.0-0")
    assert "install libegl1" in missing["3-D view"]
    assert "report.html" not in missing


def test_these_checks_can_fail(small_report: CaseReport) -> None:
    """A mirrored picture fails the side check, and folded blocks are not on the page's first level."""
    png = BytesIO()
    from matplotlib.image import imsave

    run = small_report.run
    whole = imread(BytesIO(cement_picture(run, LEVEL) or b""))
    imsave(png, whole[:, ::-1], format="png")
    assert panel_centre(png.getvalue(), 2)[0] < 0.45  # the axial panel, mirrored, is the last one
    assert any(isinstance(block, Folded) for section in small_report.sections for block in section.blocks)


def with_balloon(run: Path) -> None:
    """Add what a kyphoplasty writes: the balloon's arrival, its events, and what was lifted."""
    arrival, grid = read_run_folder(run).field(LEVEL, "cement_arrival_s") or (None, None)
    assert arrival is not None
    write_nifti(run / "fields" / LEVEL / "balloon_arrival_s.nii.gz", arrival - 200.0, grid)
    steps = [{"injected_ml": v, "pressure_bar": p, "lift_mm": h} for v, p, h in ((0.5, 3.0, 0.1), (2.0, 9.0, 2.5))]
    kinds = [*(("inflation", 100.0 + 30 * k, step) for k, step in enumerate(steps)), ("balloon_removed", 200.0, {})]
    lines = [
        json.dumps({"seq": 100 + k, "t_s": t, "level": LEVEL, "side": "left", "kind": kind, "data": data})
        for k, (kind, t, data) in enumerate(kinds)
    ]
    with (run / "events.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    document = json.loads((run / "simulation.json").read_text(encoding="utf-8"))
    moment = {"rise_mm": {"anterior": 2.54, "middle": 1.6, "posterior": 0.2}, "angle_deg": 3.1, "cavity_ml": [1.9]}
    filled = {**moment, "rise_mm": {"anterior": 4.0, "middle": 3.0, "posterior": 0.04}, "pressure_bar": [9.0]}
    heights = {"heights_mm": {"anterior": 17.2, "middle": 16.4, "posterior": None}, "wedge_angle_deg": 9.5}
    lift = {
        "tools": [{"name": "xpander-15/3", "side": "left", "stays": False}],
        "moments": {"prone": moment, "inflated": {**filled, "contact_pressure_bar": [{"mean": 7.5, "highest": 8.0}]}},
        "measured": {"ct": heights, "inflated": {"reason": "not whole"}},
        "density_mg_cm3": {"ct": 156.0, "mapped_from_neighbours": 99.1},
        "ended": {"left": "target_volume"},
        "notes": ["half of it was lost again"],
    }
    document["levels"][LEVEL]["lift"] = lift
    (run / "simulation.json").write_text(json.dumps(document), encoding="utf-8")


def test_a_kyphoplasty_shows_its_balloon(small_run: Path, tmp_path: Path, flat: None) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    with_balloon(run)
    balloon = sections_only(run).sections[5]
    (chart,) = (block for block in balloon.blocks if isinstance(block, Chart))
    assert chart.svg.count("<path") == 2
    rise, measured = (block for block in balloon.blocks if isinstance(block, Table))
    assert [tuple(row) for row in rise.rows] == [
        ("Prone, tools in", "2.5", "1.6", "0.2", "3.1", "1.9", "–", "–"),
        ("Tools filled", "4.0", "3.0", "0.0", "3.1", "1.9", "9.0", "7.5"),
    ]
    assert [tuple(row) for row in measured.rows] == [
        ("On the CT", "17.2", "16.4", "–", "9.5"),
        ("Tools filled", "–", "–", "–", "–"),
        ("Expected, from the reference", "–", "–", "–", "–"),
    ]
    page = words(sections_only(run).html())
    assert "L2 left: balloon inflated to 2.0 mL, 9.0 bar" in page
    assert "balloon inflated to 0.5 mL" not in page  # of the steps only the last is told
    assert "Left: xpander-15/3, ended by target volume." in page
    assert "rise in front, middle, behind: tools filled +4.0, +3.0, 0.0 mm" in page
    assert "156 mg/cm³; from intact neighbours at the same places 99.1 mg/cm³, which is used" in page


def test_the_balloon_leaves_the_view_when_it_is_taken_out(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    with_balloon(run)
    scene = make_scene(read_run_folder(run))
    assert scene is not None
    balloon = next(one for one in scene.fillings if one.kind == "balloon")
    assert balloon.until_s == 200.0
    assert scene3d.filling_mesh(balloon, 180.0) is not None
    assert scene3d.filling_mesh(balloon, 200.0) is None
