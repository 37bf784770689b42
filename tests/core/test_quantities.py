"""Proves: a unit is declared once and checked; a measured value is either whole or missing with a reason."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import UNITS, Measured, is_clinical, known_unit, quantity

finite = st.floats(-1e6, 1e6)


def test_a_field_carries_its_unit() -> None:
    @dataclasses.dataclass(frozen=True)
    class Rod:
        length: float = quantity("mm", "length of the rod")

    assert dataclasses.fields(Rod)[0].metadata == {"unit": "mm", "doc": "length of the rod"}


def test_an_unknown_unit_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ParameterError, match=r"unit 'furlong' is not known; use one of: .*mm"):
        quantity("furlong", "length")


def test_every_unit_has_a_ucum_code_and_a_side() -> None:
    assert all(code.strip() for code in UNITS.values())
    assert is_clinical("mL")
    assert not is_clinical("mm3")
    assert known_unit("MPa") == "MPa"


@given(value=finite, half=st.floats(0, 1e3))
def test_the_json_form_keeps_value_and_interval(value: float, half: float) -> None:
    q = Measured.with_error(value, half, "test").as_json()
    assert q == {"value": value, "low": value - half, "high": value + half, "method": "test"}


def test_a_missing_value_says_why() -> None:
    assert Measured.unknown("no CT was given").as_json() == {"value": None, "reason": "no CT was given"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"value": None}, "a missing value needs a reason"),
        ({"value": None, "low": 1.0, "high": 2.0, "reason": "r"}, r"a missing value has no interval, got \[1.0, 2.0\]"),
        ({"value": 1.0}, "needs the name of its method"),
        ({"value": 1.0, "method": "m", "reason": "r"}, "takes a method, not a reason"),
        ({"value": float("nan"), "method": "m"}, "must be finite"),
        ({"value": 1.0, "low": 0.0, "method": "m"}, "both ends or none"),
        (
            {"value": 3.0, "low": 0.0, "high": 2.0, "method": "m"},
            r"value 3.0 lies outside its own interval \[0.0, 2.0\]",
        ),
    ],
)
def test_half_a_measurement_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        Measured(**arguments)  # type: ignore[arg-type]
