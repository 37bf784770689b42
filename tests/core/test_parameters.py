"""Proves: the loader takes a number only with value, unit, source and status, and lists what was used."""

import tomllib
from dataclasses import dataclass
from importlib import resources

import pytest

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Status, load_parameters, parse_parameters
from vertecast.core.quantities import quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    conductivity: float = quantity("mW/(mm.K)", "thermal conductivity")
    name: str = quantity("1", "name of the material")


GOOD = """
conductivity = { value = 0.43, unit = "mW/(mm.K)", source = "Quarini 2006, table 1", status = "reported" }
name = { value = "bone", unit = "1", source = "this file", status = "assumed" }
"""


def load(text: str) -> object:
    return parse_parameters(tomllib.loads(text), Heat, place="data/test.toml")


def test_values_come_with_their_sources() -> None:
    loaded = parse_parameters(tomllib.loads(GOOD), Heat, place="data/test.toml")
    assert loaded.values == Heat(conductivity=0.43, name="bone")
    assert [use.status for use in loaded.uses] == [Status.REPORTED, Status.ASSUMED]
    assert loaded.uses[0].as_json()["source"] == "Quarini 2006, table 1"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("name =", "nome =", r"data/test.toml: missing names \['name'\], names that Heat does not have \['nome'\]"),
        ('source = "Quarini 2006, table 1"', 'source = " "', "conductivity: source is empty; cite the paper"),
        ('"mW/(mm.K)"', '"W/(m.K)"', r"unit 'W/\(m.K\)' is not known"),
        ('"mW/(mm.K)"', '"mm"', r"unit 'mm' given, 'mW/\(mm.K\)' declared; convert the value"),
        ('"reported"', '"guessed"', "status 'guessed' is not one of measured, reported, assumed"),
        ("value = 0.43, ", "", "needs exactly value, unit, source and status"),
        ("value = 0.43", "value = {a = 1}", "neither a number, a text, a truth value nor a list of numbers"),
    ],
)
def test_anything_less_is_refused(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(ParameterError, match=sentence):
        load(GOOD.replace(old, new, 1))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ParameterError, match=r"data/no/such.toml does not exist"):
        load_parameters("no/such.toml", Heat)


def test_every_shipped_file_is_valid_toml() -> None:
    folders = [resources.files("vertecast.data")]
    seen = 0
    while folders:
        for entry in folders.pop().iterdir():
            if entry.is_dir():
                folders.append(entry)
            elif entry.name.endswith(".toml"):
                tomllib.loads(entry.read_text(encoding="utf-8"))
                seen += 1
    assert seen > 0
