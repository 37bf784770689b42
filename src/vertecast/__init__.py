"""Vertecast: plan and simulate vertebral augmentation from a spine CT. Research and education, not a medical device."""

from importlib import import_module, metadata
from typing import Any

_HOMES = {
    "Level": "vertecast.core.levels",
    "Measured": "vertecast.core.quantities",
    "Transform": "vertecast.core.frames",
    "VertecastError": "vertecast.core.errors",
    "Volume": "vertecast.imaging.volume",
    "LabelMap": "vertecast.imaging.volume",
    "Grid": "vertecast.imaging.grid",
}
"""Public names and the module each lives in; imported on first use, so that ``import vertecast`` stays light."""

__all__ = ["Grid", "LabelMap", "Level", "Measured", "Transform", "VertecastError", "Volume", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("vertecast")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vertecast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
