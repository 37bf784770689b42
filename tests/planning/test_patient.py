"""Proves the patient record: the template loads as it is and with every line; each refusal says what and why."""

import tomllib
from pathlib import Path

import pytest

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.planning.patient import Patient, load_patient, parse_patient, patient_template


def _uncommented(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(
        line[2:] if line.startswith("# ") and (" = " in line or line[2] == "[") else line for line in lines
    )


def test_template_loads_as_it_is_and_knows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "patient.toml"
    path.write_text(patient_template())
    assert load_patient(path) == Patient()


def test_template_loads_with_every_line_taken_in() -> None:
    table = tomllib.loads(_uncommented(patient_template()))
    patient = parse_patient(table)
    assert patient.pain.score_0_to_10 == 8
    assert patient.trials[0].kind == "prescription_analgesic"
    assert patient.fracture(Level.L1).mri_oedema is True
    assert patient.fracture(Level.L2).mri_oedema is None
    entries = sum(len(section) for name, section in table.items() if name not in ("trials", "levels"))
    assert entries + len(table["trials"][0]) + len(table["levels"]["L1"]) > 60


def test_every_single_line_may_be_missing() -> None:
    full = tomllib.loads(_uncommented(patient_template()))
    for name, section in full.items():
        if name in ("trials", "levels"):
            continue
        for key in section:
            without = {k: v for k, v in section.items() if k != key}
            assert getattr(getattr(parse_patient({**full, name: without}), name), key) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[pain]\nscore_0_to_10 = 80",
            r"pain.score_0_to_10 = 80 is not a possible value, above the limit of 10; .* by 10",
        ),
        ("[pain]\nscore_0_to_10 = -1", "below the limit of 0"),
        ("[pain]\nscore_0_to_10 = nan", "is not a possible value"),
        ("[pain]\nscore_0_to_10 = '8'", "is not a number from 0 to 10; write it without quotes"),
        ("[pain]\nscore_0_to_10 = true", "is not a number"),
        ("[pain]\ntrend = 'bad'", "pain.trend = 'bad' is not one of worse, stable, improved"),
        ("[pain]\ntrend = 3", "is not a text in quotes; write one of worse"),
        ("[pain]\nonset_weeks = 3", "pain: key 'onset_weeks' is not known; did you mean 'onset_days'"),
        ("[pane]\nonset_days = 3", "key 'pane' is not known; did you mean 'pain'"),
        ("[pain]\nfrom_fracture = 'yes'", "is not true or false"),
        ("[person]\nage_years = 760", "age_years = 760 .* above the limit of 120 a"),
        ("[person]\nasa = 2.5", "person.asa = 2.5 is not a whole number"),
        ("[person]\nsex = 'male'\npregnant = true", "pregnant = true cannot be with sex = 'male'"),
        ("[person]\nfragility_fracture = true\nhigh_energy_trauma = true", "say which of the two"),
        ("[health]\nt_score = -25", "t_score = -25 .* below the limit of -8"),
        ("[levels.L9]\nmri_oedema = true", "levels.L9 is not a vertebra"),
        ("[levels.L1]\nmri = true", "levels.L1: key 'mri' is not known"),
        ("levels = 3", "needs sections such as"),
        ("trials = 3", r"begin with \[\[trials\]\]"),
        (
            "[[trials]]\nstart_days_ago = 3\nstop_days_ago = 9",
            "trials 1: stop_days_ago = 9 is above start_days_ago = 3",
        ),
        ("pain = 8", "pain is 8, needs a table"),
        ("[pain\n", "is not valid TOML"),
    ],
)
def test_refusals_name_file_key_value_limit_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "patient.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_patient(path)
    assert str(path) in str(caught.value)
    assert ";" in str(caught.value) or ":" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read .*--template"):
        load_patient(tmp_path / "absent.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b"[pain]\n# \xe9\n")
    with pytest.raises(InputError, match="not UTF-8 text at byte 9"):
        load_patient(path)


def test_these_checks_can_fail() -> None:
    """The pain limit is what refuses 80: 8 passes the same path."""
    assert parse_patient({"pain": {"score_0_to_10": 8}}).pain.score_0_to_10 == 8.0
