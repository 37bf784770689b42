"""Proves: the conventions of the house hold everywhere: frozen dataclasses, known units, light import, public names."""

import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

import vertecast
from vertecast.core.quantities import UNITS

MUTABLE_ON_PURPOSE = {"vertecast.pipeline.manifest.Record"}
"""Collects while a command runs; everything that is a result is frozen."""


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(vertecast.__path__, "vertecast."):
        if not found.name.endswith("__main__"):
            yield found.name


def dataclasses_of_the_package() -> Iterator[type]:
    for name in modules():
        for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            if cls.__module__ == name and dataclasses.is_dataclass(cls):
                yield cls


def test_every_dataclass_is_frozen_and_every_declared_unit_is_known() -> None:
    seen = 0
    for cls in dataclasses_of_the_package():
        seen += 1
        if f"{cls.__module__}.{cls.__qualname__}" not in MUTABLE_ON_PURPOSE:
            assert cls.__dataclass_params__.frozen, f"{cls.__module__}.{cls.__qualname__} is not frozen"  # type: ignore[attr-defined]
        for one in dataclasses.fields(cls):
            unit = one.metadata.get("unit")
            assert unit is None or unit in UNITS, f"{cls.__qualname__}.{one.name}: unit {unit!r}"
    assert seen > 5


def test_every_module_says_what_it_is() -> None:
    silent = [name for name in modules() if not (importlib.import_module(name).__doc__ or "").strip()]
    assert silent == []


def test_the_public_names_are_few_and_all_there() -> None:
    assert len(vertecast.__all__) <= 30
    assert {name for name in vertecast.__all__ if name != "__version__"} == set(vertecast._HOMES)
    for name in vertecast.__all__:
        assert getattr(vertecast, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Balloon'"):
        vertecast.Balloon  # noqa: B018


def test_every_public_function_is_typed() -> None:
    untyped = []
    for name in modules():
        for label, function in inspect.getmembers(importlib.import_module(name), inspect.isfunction):
            if (
                function.__module__ == name
                and not label.startswith("_")
                and inspect.signature(function).return_annotation is inspect.Signature.empty
            ):
                untyped.append(f"{name}.{label}")
    assert untyped == []


HEAVY = ("numpy", "scipy", "numba", "SimpleITK", "matplotlib", "pydicom")


@pytest.mark.parametrize(
    "code", ["import vertecast", "from vertecast.cli import app; app(['info'], standalone_mode=False)"]
)
def test_light_things_import_nothing_heavy(code: str) -> None:
    probe = f"{code}\nimport sys\nprint('heavy:', sorted(set({HEAVY}) & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "heavy: []"
