"""The documentation says what the software does: commands, files, schemas, examples; its equations are drawn."""

import importlib.util
import json
import re
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest
import typer.main
from tests.report.small_run import LEVEL, cement_mask, write_run

from vertecast.cli import app
from vertecast.report.bibliography import load_bibliography

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
GUIDE = "\n".join(text for name, text in PAGES.items() if name.startswith("guide/"))


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOKS = loaded(ROOT / "tools" / "docs" / "hooks.py")


def test_every_page_is_in_the_site_s_contents() -> None:
    listed = set(re.findall(r"([\w/]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed - set(PAGES) == set()
    assert {name for name in PAGES if name.startswith("guide/")} <= listed


def test_every_option_and_command_of_the_guide_exists() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    called = re.findall(r"^vertecast (\w+)(.*)$", GUIDE, flags=re.MULTILINE)
    called += re.findall(r"`vertecast (\w+)([^`]*)`", GUIDE)
    assert len(called) > 15
    for name, rest in called:
        assert name in commands, name
        options = {option for one in commands[name].params for option in one.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options, (name, rest)
    bare = set(re.findall(r"`(--[a-z][\w-]+)", GUIDE))
    everything = {option for command in commands.values() for one in command.params for option in one.opts}
    assert bare <= everything, bare - everything


def test_python_of_the_guide_is_importable() -> None:
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        compile(block, "guide", "exec")
        for line in re.findall(r"^from vertecast\S* import .*$", block, flags=re.MULTILINE):
            exec(line, {})
    for name in re.findall(r"`vertecast\.([\w.]+)\.(\w+)`", GUIDE):
        module = importlib.import_module(f"vertecast.{name[0]}")
        assert hasattr(module, name[1]), name


def test_the_formats_name_every_schema_and_every_file_of_a_run() -> None:
    text = PAGES["formats.md"]
    for file in resources.files("vertecast.data").joinpath("schema").iterdir():
        name = file.name.removesuffix(".schema.json")
        assert f"`{name}.json" in text or f"`{name}`" in text, name
    for said in ("balloon_arrival_s", "displacement_keyframes.json", "plan.mrk.json", "walkthrough.mp4", "export/"):
        assert said in text
    made = HOOKS.schemas()
    assert made.count("### ") == len(list(resources.files("vertecast.data").joinpath("schema").iterdir()))
    assert "`levels`" in made


def test_every_work_is_in_the_references() -> None:
    table = HOOKS.on_page_markdown(PAGES["references.md"])
    for work in load_bibliography().works:
        assert f"id='{work.anchor}'" in table
        assert work.address in table
        assert work.address or work.not_public.split(";")[0] in table


def test_equations_are_drawn_and_their_source_is_kept_for_those_who_hear() -> None:
    page = HOOKS.on_page_markdown(PAGES["methods/index.md"])
    assert "```math" not in page
    assert page.count("<svg") == PAGES["methods/index.md"].count("```math") >= 9
    assert 'xlink:href="http' not in page
    drawn = HOOKS.equation(r"\frac{a}{b} \leq c")
    assert drawn == HOOKS.equation(r"\frac{a}{b} \leq c")
    assert 'aria-label="\\frac{a}{b} \\leq c"' in drawn
    with pytest.raises(ValueError, match="Unknown symbol"):
        HOOKS.equation(r"\nosuchthing{a}")


def test_pictures_and_links_inside_the_documentation_exist() -> None:
    for name, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if not target.startswith(("http", "mailto")):
                assert (DOCS / name).parent.joinpath(target).exists(), (name, target)


def test_the_documentation_shows_no_code_of_a_source() -> None:
    for name, text in PAGES.items():
        plain = re.sub(r"```.*?```|`[^`]*`|<svg.*?</svg>", "", HOOKS.on_page_markdown(text), flags=re.DOTALL)
        assert not re.search(r"\b(clinical|physics|xray|schemes|numerics)\.md|\[\d{2,3}\](?!\()", plain), name


def test_a_fracture_is_measured_by_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    loss = loaded(ROOT / "examples" / "measure_a_fracture.py").main()
    assert loss == pytest.approx(30.0, abs=8.0)
    assert "L1 lost" in capsys.readouterr().out


def test_a_run_folder_is_read_by_the_example_without_vertecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ROOT / "examples" / "read_a_run_folder.py"
    assert "vertecast" not in re.sub(r'""".*?"""', "", source.read_text(encoding="utf-8"), flags=re.DOTALL)
    folder = write_run(tmp_path / "run", tmp_path / "inputs")
    amounts = loaded(source).main(folder)
    assert amounts == {LEVEL: pytest.approx(0.6 * cement_mask().sum() / 1000.0, rel=1e-4)}
    said = capsys.readouterr().out
    assert "27 (20 to 35) % of the height lost" in said
    assert "stopped, planned_volume" in said
    assert json.loads((folder / "spine.json").read_text(encoding="utf-8"))
