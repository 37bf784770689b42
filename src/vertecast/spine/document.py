"""Results as plain JSON values: numbers as DESIGN's Q, enums by name, points as lists; voxel arrays stay out."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from vertecast.core.frames import Transform
from vertecast.core.quantities import Measured
from vertecast.imaging.grid import Grid

_LARGEST_ARRAY = 16  # numbers; anything larger is a field or a mask and does not belong in a document


def as_document(value: Any) -> Any:
    """Return ``value`` as dictionaries, lists, numbers, texts and ``None``."""
    if isinstance(value, Measured):
        return value.as_json()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "as_json"):
        return value.as_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: as_document(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if _belongs(getattr(value, field.name))
        }
    if isinstance(value, Mapping):
        return {str(as_document(key)): as_document(one) for key, one in value.items() if _belongs(one)}
    if isinstance(value, tuple | list):
        return [as_document(one) for one in value]
    return value


def _belongs(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.size <= _LARGEST_ARRAY
    return not isinstance(value, Grid)


def frame_document(vert_from_lps: Transform) -> dict[str, Any]:
    """Return a vertebral frame as origin and axes in LPS."""
    axes = vert_from_lps.axes
    return {
        "name": vert_from_lps.target,
        "origin_lps_mm": vert_from_lps.origin.tolist(),
        "left_lps": axes[0].tolist(),
        "posterior_lps": axes[1].tolist(),
        "superior_lps": axes[2].tolist(),
    }
