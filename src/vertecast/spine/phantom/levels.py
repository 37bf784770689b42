"""Normal vertebrae by level: the table ``data/phantom/levels.csv`` with where each of its columns comes from."""

import csv
import dataclasses
import io
from dataclasses import dataclass, replace
from functools import cache

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import ParameterUse, Status, data_file, read_toml
from vertecast.core.quantities import quantity

CSV, SOURCES = "phantom/levels.csv", "phantom/levels.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelShape:
    """The shape of one vertebra, of the disc below it, and how dense it is beside L1.

    Lengths are outer bone surfaces. Depths are mid-sagittal. The body's height is given at the posterior rim; the
    rims are
    flat rings that a wedge tilts by half its angle each.
    """

    level: Level
    height_posterior_mm: float = quantity("mm", "height of the body at its posterior rim")
    wedge_deg: float = quantity("deg", "angle between the rims, positive when lower in front")
    width_superior_mm: float = quantity("mm", "left-right width of the superior endplate")
    width_inferior_mm: float = quantity("mm", "left-right width of the inferior endplate")
    depth_superior_mm: float = quantity("mm", "mid-sagittal depth of the superior endplate")
    depth_inferior_mm: float = quantity("mm", "mid-sagittal depth of the inferior endplate")
    concavity_superior_mm: float = quantity("mm", "greatest depth of the superior endplate below its rim")
    concavity_inferior_mm: float = quantity("mm", "greatest depth of the inferior endplate above its rim")
    posterior_notch_mm: float = quantity("mm", "how far the posterolateral corners reach behind the middle's ellipse")
    pedicle_width_mm: float = quantity("mm", "isthmus, outer width")
    pedicle_height_mm: float = quantity("mm", "isthmus, outer height")
    pedicle_medial_deg: float = quantity("deg", "how far the pedicle's axis turns to the midline going forward")
    pedicle_rise: float = quantity("1", "pedicle's centre above the body's centre per body height")
    canal_width_mm: float = quantity("mm", "between the pedicles' medial walls at their isthmuses")
    canal_depth_mm: float = quantity("mm", "mid-sagittal, posterior wall to lamina")
    disc_height_mm: float = quantity("mm", "mean distance to the next vertebra's rim")
    disc_lordosis_deg: float = quantity("deg", "opening angle of the disc below, positive when wider in front")
    spinous_length_mm: float = quantity("mm", "length of the spinous process")
    spinous_drop_deg: float = quantity("deg", "how far the spinous process points down")
    spinous_height_mm: float = quantity("mm", "height of the spinous process")
    transverse_length_mm: float = quantity("mm", "length of the transverse process")
    transverse_back_deg: float = quantity("deg", "how far the transverse process points back")
    lamina_height_mm: float = quantity("mm", "height of the lamina")
    trabecular_ratio: float = quantity("1", "trabecular density relative to L1's")

    def __post_init__(self) -> None:
        for name in (f.name for f in dataclasses.fields(self) if f.name.endswith("_mm")):
            smallest = 0.0 if name.startswith(("concavity", "posterior_notch")) else 1.0
            if not getattr(self, name) >= smallest:
                raise GeometryError(f"{self.level}: {name} = {getattr(self, name)} is below {smallest} mm; enlarge it")
        if self.height_posterior_mm <= 2.0 * (self.concavity_superior_mm + self.concavity_inferior_mm):
            raise GeometryError(
                f"{self.level}: concavities of {self.concavity_superior_mm} and {self.concavity_inferior_mm} mm leave "
                f"too little of a body {self.height_posterior_mm} mm high; use a fracture for a collapsed body"
            )
        if abs(self.wedge_deg) > 20.0:
            raise GeometryError(f"{self.level}: wedge of {self.wedge_deg} deg is beyond 20; use a fracture for that")

    @property
    def thoracic(self) -> bool:
        """Whether ribs and facets are those of the chest."""
        return self.level.value.startswith("T")

    def scaled(self, factor: float) -> "LevelShape":
        """Return the shape with every length multiplied, for a larger or smaller person."""
        lengths = {f.name: factor * getattr(self, f.name) for f in dataclasses.fields(self) if f.name.endswith("_mm")}
        return replace(self, **lengths)


@cache
def normal_shape(level: Level, *, female_share: float = 0.5) -> LevelShape:
    """Return the normal shape of a level; ``female_share`` mixes the wedges published for women and men.

    Raises
    ------
    GeometryError
        For a level that the phantom cannot make (cervical, sacrum).
    """
    rows = {row["level"]: row for row in csv.DictReader(io.StringIO(data_file(CSV).read_text(encoding="utf-8")))}
    if level.value not in rows:
        raise GeometryError(f"no phantom of level {level}; choose from {', '.join(rows)}")
    row = rows[level.value]
    numbers = {name: float(text) for name, text in row.items() if name != "level"}
    female, male = numbers.pop("wedge_female_deg"), numbers.pop("wedge_male_deg")
    return LevelShape(level=level, wedge_deg=female_share * female + (1.0 - female_share) * male, **numbers)


def table_uses() -> tuple[ParameterUse, ...]:
    """Return where each column of the table comes from, for the manifest."""
    table = csv.DictReader(io.StringIO(data_file(CSV).read_text(encoding="utf-8")))
    rows, sources = list(table), read_toml(SOURCES)
    columns = [name for name in rows[0] if name != "level"]
    if sorted(columns) != sorted(sources):
        raise ParameterError(f"data/{SOURCES} and the columns of data/{CSV} differ: {set(columns) ^ set(sources)}")
    return tuple(
        ParameterUse(
            f"phantom.{name}",
            tuple(float(row[name]) for row in rows),
            sources[name]["unit"],
            sources[name]["source"],
            Status(sources[name]["status"]),
        )
        for name in columns
    )
