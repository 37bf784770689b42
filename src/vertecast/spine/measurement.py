"""What was measured: one vertebra, and the whole spine, with the form that ``spine.json`` has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vertecast.core.levels import Level
from vertecast.core.parameters import ParameterUse
from vertecast.core.quantities import Measured
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.details import VertebraDetails
from vertecast.spine.document import as_document, frame_document
from vertecast.spine.endplates import Side
from vertecast.spine.genant import Genant
from vertecast.spine.geometry import VertebraGeometry
from vertecast.spine.heights import Place
from vertecast.spine.of_class import OfCall
from vertecast.spine.reference import HeightLoss

SCHEMA = "vertecast/spine/1"
POSTURE = "supine"
POSTURE_NOTE = (
    "CT is taken lying down: weight-bearing collapse is under-called, in T11 to L2 fractures by about "
    "10 points of wedge ratio and 5 degrees (clinical.md 2.1 [8])"
)


@dataclass(frozen=True, eq=False)
class MeasuredVertebra:
    """One level; what could not be measured carries the reason.

    Parameters
    ----------
    level : its name
    geometry : from the label; ``None`` when the label is no measurable vertebra
    reason : why there is no geometry
    heights_mm, wedge_angle_deg, wedge_less_normal_deg : of the mid-sagittal plane; unknown when the body is cut
    bisegmental_kyphosis_deg : superior endplate above to inferior endplate below
    loss : height loss and its reference
    dent_excess_mm : depth of each endplate beyond that of the reference levels
    genant, of_call : labels beside the numbers
    details : pedicles, canal, wall, density, clefts, age of a fracture
    flags : short names of what limits the measurement
    notes : sentences about the label
    """

    level: Level
    geometry: VertebraGeometry | None
    reason: str | None
    heights_mm: Mapping[Place, Measured]
    wedge_angle_deg: Measured
    wedge_less_normal_deg: Measured
    bisegmental_kyphosis_deg: Measured
    loss: HeightLoss
    dent_excess_mm: Mapping[Side, Measured]
    genant: Genant
    of_call: OfCall
    details: VertebraDetails
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def anatomy(self) -> Anatomy | None:
        """The split vertebra, when there is one."""
        return None if self.geometry is None else self.geometry.anatomy

    @property
    def height_loss_percent(self) -> Measured:
        """The largest of the three losses."""
        return self.loss.largest

    def as_json(self) -> dict[str, Any]:
        """Return the level's part of ``spine.json``."""
        loss = self.loss
        reference = {
            "kind": None if loss.kind is None else loss.kind.value,
            "levels": [str(level) for level in loss.levels],
            "formula": loss.formula,
        }
        worst = None if loss.worst is None else loss.worst.value
        return {
            "level": str(self.level),
            "heights_mm": as_document(self.heights_mm),
            **self._geometry_json(),
            "wedge_angle_deg": self.wedge_angle_deg.as_json(),
            "wedge_less_normal_deg": self.wedge_less_normal_deg.as_json(),
            "bisegmental_kyphosis_deg": self.bisegmental_kyphosis_deg.as_json(),
            "height_loss_percent": {**self.height_loss_percent.as_json(), "place": worst, "reference": reference},
            "height_loss_by_place_percent": as_document(loss.percent),
            "reference_heights_mm": as_document(loss.reference_mm),
            "height_lost_mm": as_document(loss.lost_mm),
            "dent_excess_mm": as_document(self.dent_excess_mm),
            "genant": as_document(self.genant),
            "of_class": self.of_call.of_class.value,
            "of_class_decided_by": self.of_call.decided_by,
            **self.details.as_json(),
            "flags": list(self.flags),
            "notes": list(self.notes),
            "reason": self.reason,
        }

    def _geometry_json(self) -> dict[str, Any]:
        if self.geometry is None:
            return {"frame": None}
        g = self.geometry
        to_lps = g.anatomy.vert_from_lps.inverse
        sections = {"right": g.six.right, "middle": g.six.middle, "left": g.six.left}
        edge = 1.96 * g.six.size_deviation
        method = "mean of both endplates' extents in the rim band (docs/methods/heights.md)"
        return {
            "frame": {**frame_document(g.anatomy.vert_from_lps), "symmetry": g.symmetry},
            "parasagittal_heights_mm": {
                name: {place.value: sections[name].height(place).as_json() for place in Place}
                for name in ("right", "left")
            },
            "six_points_lps_mm": {
                name: {
                    side.value: {
                        place.value: to_lps.apply(section.points[row, column]).tolist()
                        for column, place in enumerate(Place)
                    }
                    for row, side in enumerate(Side)
                }
                for name, section in sections.items()
            },
            "body_depth_mm": Measured.with_error(g.six.depth, edge, method).as_json(),
            "body_width_mm": Measured.with_error(g.six.width, edge, method).as_json(),
            "body_volume_ml": _in_ml(g.volume).as_json(),
            "lateral_wedge_deg": g.lateral_wedge.as_json(),
            "endplates": {
                side.value: {
                    "depth_mm": one.deepest_mm.as_json(),
                    "mean_depth_mm": one.mean_mm.as_json(),
                    "deepest_segment": one.segment,
                    "deepest_lps_mm": to_lps.apply(one.deepest_point).tolist(),
                    "normal_lps": g.tilt.normal(side).tolist(),
                }
                for side, one in g.depth_maps.items()
            },
        }


def _in_ml(volume: Measured) -> Measured:
    if volume.value is None or volume.low is None or volume.high is None:
        return volume
    return Measured(volume.value / 1000.0, volume.low / 1000.0, volume.high / 1000.0, volume.method)


@dataclass(frozen=True, eq=False)
class SpineMeasurement:
    """Every labelled vertebra of one CT.

    Parameters
    ----------
    vertebrae : craniocaudal
    regional_kyphosis_deg : Cobb angles by region, kyphosis positive
    stature_lost_mm : sum of the height lost at fractured levels
    warnings : sentences the reader must see
    uses : every parameter that was used
    posture : of the patient in the scanner
    """

    vertebrae: tuple[MeasuredVertebra, ...]
    regional_kyphosis_deg: Mapping[str, Measured]
    stature_lost_mm: Measured
    warnings: tuple[str, ...] = ()
    uses: tuple[ParameterUse, ...] = field(default=())
    posture: str = POSTURE

    def __getitem__(self, level: Level) -> MeasuredVertebra:
        for vertebra in self.vertebrae:
            if vertebra.level is level:
                return vertebra
        present = ", ".join(str(vertebra.level) for vertebra in self.vertebrae)
        raise KeyError(f"level {level} was not measured; present are {present}")

    def as_json(self) -> dict[str, Any]:
        """Return ``spine.json``."""
        return {
            "schema": SCHEMA,
            "posture": {"value": self.posture, "note": POSTURE_NOTE},
            "vertebrae": [vertebra.as_json() for vertebra in self.vertebrae],
            "regional_kyphosis_deg": as_document(self.regional_kyphosis_deg),
            "stature_lost_mm": self.stature_lost_mm.as_json(),
            "warnings": list(self.warnings),
        }
