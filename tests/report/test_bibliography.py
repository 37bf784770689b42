"""Every source that a reader is shown can be looked up, or says why not; no code of the data files is left."""

import re
from importlib import resources
from typing import Any

import pytest
from tests.report.small_run import write_run

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import read_toml
from vertecast.report.bibliography import Bibliography, Work, load_bibliography
from vertecast.report.case_report import make_case_report
from vertecast.report.case_report_blocks import Note, Prose, References, Section, Table
from vertecast.report.case_report_references import linked, with_references, works_of
from vertecast.report.case_report_run import read_run_folder

CODE = re.compile(r"\[\d{1,3}[a-c]?\]|\b(clinical|physics|xray|schemes|numerics)\.md|pages? S\d+|portal S\d+")


def sources(content: Any) -> list[str]:
    """Every string below a key ``source`` of a parsed TOML file."""
    if isinstance(content, dict):
        found = [one for key, value in content.items() if key != "source" for one in sources(value)]
        said = content.get("source", [])
        return found + ([said] if isinstance(said, str) else [one for one in said if isinstance(one, str)])
    return [one for value in content for one in sources(value)] if isinstance(content, list) else []


def all_sources() -> list[str]:
    files = [
        f"{folder.name}/{file.name}"
        for folder in resources.files("vertecast.data").iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    ]
    return [one for file in files if file != "report/bibliography.toml" for one in sources(read_toml(file))]


def test_no_code_is_left_in_any_source_of_the_data_files() -> None:
    found = all_sources()
    assert sum(bool(CODE.search(one)) for one in found) > 100, "the check looks at nothing"
    bibliography = load_bibliography()
    left = [said for one in found if CODE.search(said := bibliography.cited(one).text)]
    assert not left


def test_every_work_has_an_address_or_a_reason() -> None:
    bibliography = load_bibliography()
    assert len(bibliography.works) > 50
    assert all(work.address.startswith("https://") or work.not_public for work in bibliography.works)
    anchors = [work.anchor for work in bibliography.works]
    assert len(set(anchors)) == len(anchors)


@pytest.mark.parametrize(
    ("source", "said", "labels"),
    [
        ("KAVIAR trial [30]: 157 of 214", "KAVIAR trial [Dohm 2014]: 157 of 214", ["Dohm 2014"]),
        ("VAPOUR trial, n = 120", "VAPOUR [Clark 2016] trial, n = 120", ["Clark 2016"]),
        ("Lindsay 2001, 2725 women", "[Lindsay 2001], 2725 women", ["Lindsay 2001"]),
        ("portal S107: home (S108)", "portal [page D]: home [page D]", ["page D"]),
        ("patient pages S106, S138", "patient pages [page D], [page E]", ["page D", "page E"]),
        ("jack, clinical.md 4.6 [85]; physics.md 4", "jack, [Front Med 2023]; [working notes]", None),
        ("size ( clinical.md 2.3 [15])", "size [IJSS table 6]", ["IJSS table 6"]),
        ("research/physics.md, section 7", "[working notes]", ["working notes"]),
        ("segments S10 and S12", "segments S10 and S12", []),
        ("row [999] of the table", "row [999] of the table", []),
    ],
)
def test_a_code_becomes_the_works_label(source: str, said: str, labels: list[str] | None) -> None:
    cited = load_bibliography().cited(source)
    assert cited.text == said
    assert labels is None or [work.label for work in cited.works] == labels


def test_a_work_without_address_or_label_of_its_own_is_refused() -> None:
    with pytest.raises(ParameterError, match="neither an address nor a reason"):
        Work(label="a", title="t", where="w")
    with pytest.raises(ParameterError, match="both an address and a reason"):
        Work(label="a", title="t", where="w", doi="10.1/x", not_public="lost")
    one = Work(label="a", title="t", where="w", doi="10.1/x")
    with pytest.raises(ParameterError, match="names two works"):
        Bibliography((one, one))
    assert one.address == "https://doi.org/10.1/x"
    assert one.text == "t. w."


def test_a_report_lists_what_it_cites_and_links_to_it() -> None:
    table = Table(("", "Source"), [["x", "KAVIAR trial [30]"]], "after [<b>]")
    made = with_references([Section("a", "A", [Prose("as S44 says on its page"), Note("plain"), table])])
    assert [section.title for section in made] == ["A", "References"]
    (references,) = made[1].blocks
    assert isinstance(references, References)
    assert [work.label for work in references.works] == ["Dohm 2014", "page B"]
    shown = str(linked(works_of(made))("[Dohm 2014] & <b>"))
    assert shown == '<a href="#ref-dohm-2014">[Dohm 2014]</a> &amp; &lt;b&gt;'
    assert with_references([Section("a", "A", [Note("nothing cited")])])[-1].title == "A"


def test_the_whole_page_shows_no_code(tmp_path: Any) -> None:
    folder = write_run(tmp_path / "run", tmp_path / "inputs")
    plan = (folder / "plan.json").read_text(encoding="utf-8")
    plan = plan.replace("page A", "patient page S78 [44], see clinical.md 4.5")
    (folder / "plan.json").write_text(plan, encoding="utf-8")
    (folder / "fields").rename(tmp_path / "away")
    html = re.sub(r"<(script|style)\b.*?</\1>", "", make_case_report(read_run_folder(folder)).html(), flags=re.S)
    assert "Hindawi 571728" in html
    assert 'id="ref-hindawi-571728"' in html
    assert not CODE.search(html)
