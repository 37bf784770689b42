"""The report says a run so that a surgeon does not stumble: one height, one range, no line where nothing was."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from tests.report.small_run import LEVEL
from tests.report.test_case_report import sections_only, with_balloon, words

from vertecast.report import case_report as composer
from vertecast.report.case_report_balloon import lift_sentence
from vertecast.report.case_report_charts import Line, line_chart
from vertecast.report.case_report_run import read_run_folder


@pytest.fixture(autouse=True)
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the 3-D view out, where it is not what is tested."""
    monkeypatch.setattr(composer, "_scene", lambda run: (None, [], "not asked for"))


def test_the_heights_of_the_outcome_come_before_the_endplates_rise(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    with_balloon(run)
    lift = read_run_folder(run).level("simulation", LEVEL)["lift"]
    gained = {place: {"value": value} for place, value in (("anterior", 2.09), ("middle", 1.64), ("posterior", -0.3))}
    kept = {place: {"value": 0.5} for place in gained}
    shape = {"height_regained_mm": gained, "height_kept_mm": kept}
    told = lift_sentence(lift, {"shape": shape})
    assert told == (
        "height gained in front, middle, behind: tools filled +2.1, +1.6, −0.3 mm; let go +0.5, +0.5, +0.5 mm"
    )
    assert lift_sentence(None, {"shape": shape}) == ""  # a vertebroplasty lifts nothing, whatever its outcome holds
    kept["middle"] = {"value": None, "reason": "not whole"}
    assert lift_sentence(lift, {"shape": shape}).startswith("endplate's rise in front")


def test_between_two_needles_the_pressure_has_a_gap_and_one_point_is_a_dot() -> None:
    points = [(1.0, 2.0), (2.0, 4.0), (2.5, math.nan), (3.0, 3.0), (4.0, -1.0)]
    broken = [(1.0, 1.0), (2.0, 1.0), (2.5, math.nan), (3.0, 2.0)]
    svg = line_chart([Line(name="pressure", points=points), Line(name="alone", points=broken)], "minutes")
    paths = re.findall(r'<path d="([^"]+)"', svg)
    assert [path.count("M") for path in paths] == [2, 2]
    assert "nan" not in svg
    assert svg.count("<circle") == 1
    bottom = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1])  # type: ignore[index]
    assert all(float(y) < bottom for y in re.findall(r",([\d.]+)", paths[0]))  # a pressure below nought stays inside


def test_a_load_that_only_a_population_has_is_told_as_its_range(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    why = "body weight and height not given; over the usual range of the population"
    load = {"fractured": {"value": None, "reason": f"{why} 200 to 1.67e+03"}}
    stiff = {
        arm: {"value": v, "low": v, "high": v, "method": "pressed"} for arm, v in (("before", 9e3), ("after", 1e4))
    }
    stiff["fractured"] = {"value": None, "reason": "L2 is not fractured"}
    pressure = {"after": {"value": None, "reason": f"the load is not known: {why} 199 to 699"}}
    outcome = {
        "mechanics": {
            "load_n": {"standing": load},
            "disc_pressure_mpa": {"standing": pressure},
            "stiffness_n_mm": stiff,
        }
    }
    (run / "outcome.json").write_text(json.dumps({"levels": {LEVEL: outcome}}), encoding="utf-8")
    page = words(sections_only(run).html())
    assert "Load, standing – 200 to 1700 N – body weight and height not given: range over the population" in page
    assert (
        "Disc pressure, standing – – unknown unknown: the load is not known: body weight and height not given" in page
    )
    assert "Stiffness 9000 N/mm unknown 10000 N/mm pressed; fractured: L2 is not fractured" in page
    assert "e+03" not in page
