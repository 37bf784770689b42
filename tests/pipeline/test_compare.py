"""Proves ``compare``: the figures of two runs, their differences, a page with the pictures of both, and refusals."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.cli.info import read_schema
from vertecast.core.errors import InputError
from vertecast.imaging.png import write_png
from vertecast.pipeline.compare import compare_case, write_comparison
from vertecast.pipeline.outcome_rows import Figure

NEEDLES = [{"side": "left", "approach": "transpedicular"}, {"side": "right", "approach": "transpedicular"}]


def folder(path: Path, *, ct: str = "a" * 64, level: str = "L1", ml: float = 4.0, lift: float | None = None) -> Path:
    """Write the least a run folder holds."""
    import numpy as np

    path.mkdir()
    inputs = [{"role": "ct", "sha256": ct}, {"role": "labels", "sha256": "b" * 64}]
    procedure = "vertebroplasty" if lift is None else "kyphoplasty"
    plan: dict[str, Any] = {
        "procedure": procedure,
        "plans": [{"robustness": 0.8, "needles": NEEDLES}],
        "volumes": {"cement_ml": {"value": ml}},
    }
    done: dict[str, Any] = {"injected_ml": {"left": ml / 2, "right": ml / 2}, "leaked_ml": {"disc": 0.25 * ml}}
    if lift is not None:
        done["lift"] = {"moments": {"deflated": {"rise_mm": {"middle": lift}}}}
    for name, content in (
        ("manifest", {"case_id": path.name, "inputs": inputs}),
        ("plan", {"levels": {level: plan}}),
        ("simulation", {"levels": {level: done}}),
    ):
        (path / f"{name}.json").write_text(json.dumps(content))
    (path / "pictures").mkdir()
    write_png(path / "pictures" / f"cement_{level}.png", np.full((8, 8), int(40 * ml), np.uint8), {})
    return path


def test_figures_differences_and_what_one_run_lacks(tmp_path: Path) -> None:
    found = compare_case(folder(tmp_path / "a"), folder(tmp_path / "b", ml=2.5, lift=3.25))
    pairs = {pair.figure.name: pair for pair in found.levels["L1"]}
    assert pairs["cement injected"].difference == pytest.approx(-1.5)
    assert pairs["leaked"].difference == pytest.approx(-0.375)
    assert pairs["robustness of the path"].difference == 0
    assert pairs["procedure"].difference is None
    assert pairs["endplates apart, let go"].first is None
    assert pairs["endplates apart, let go"].second is not None
    assert pairs["endplates apart, let go"].second.value == 3.25
    document = found.as_json()
    jsonschema.validate(document, read_schema("comparison"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "runs": []}, read_schema("comparison"))


def test_a_figure_is_printed_as_people_write_it() -> None:
    assert Figure("height kept", "mm", -0.04).shown == "0.0"
    assert Figure("height kept", "mm", None).shown == "–"
    assert Figure("fill", "%", 19.6, 0).shown == "20"


def test_the_page_holds_both_pictures_and_needs_nothing_else(tmp_path: Path) -> None:
    found = compare_case(folder(tmp_path / "a"), folder(tmp_path / "b", ml=2.5))
    assert write_comparison(found, tmp_path / "compare.html") is None
    page = (tmp_path / "compare.html").read_text()
    pictures = re.findall(r'src="(data:image/png;base64,[^"]+)"', page)
    assert len(pictures) == 2
    assert pictures[0] != pictures[1]
    assert "http" not in page
    assert str(tmp_path) not in page, "a path may hold a name"
    assert "-1.5" in page
    (tmp_path / "b" / "pictures" / "cement_L1.png").unlink()
    write_comparison(found, tmp_path / "compare.html")
    assert "This run has no such picture." in (tmp_path / "compare.html").read_text()


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    call = ["compare", str(folder(tmp_path / "a")), str(folder(tmp_path / "b", ml=2.5))]
    page = str(tmp_path / "compare.html")
    shown = CliRunner().invoke(app, [*call, "--out", page], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    assert "cement injected, mL" in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines() if page not in line)
    said = json.loads(CliRunner().invoke(app, [*call, "--out", page, "--json"]).stdout)
    assert said.pop("page") == page
    jsonschema.validate(said, read_schema("comparison"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ct": "c" * 64}, "are not of the same CT, so their figures do not compare; give two runs of one case"),
        ({"level": "L3"}, "treats L1 and .* L3: no level in common; give two runs that share one"),
    ],
)
def test_runs_that_do_not_compare_are_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        compare_case(folder(tmp_path / "a"), folder(tmp_path / "b", **change))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    first = folder(tmp_path / "a")
    with pytest.raises(InputError, match=r"holds no plan\.json; give a folder of `vertecast run`"):
        compare_case(first, tmp_path)
    (tmp_path / "a" / "simulation.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        compare_case(first, first)
