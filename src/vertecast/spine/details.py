"""What is measured on a vertebra once it is split and framed: pedicles, canal, wall, density, clefts, signs of age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vertecast.core.errors import GeometryError
from vertecast.core.parameters import ParameterUse
from vertecast.core.sides import Side as PatientSide
from vertecast.imaging.volume import Volume
from vertecast.spine.acuity import Acuity, AcuityFindings, acuity_evidence, acuity_parameters
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.canal import Canal, canal_parameters, measure_canal
from vertecast.spine.cleft import Cleft, cleft_parameters, find_cleft
from vertecast.spine.density import Density, HuCalibration, density_parameters, measure_density, roi_parameters
from vertecast.spine.document import as_document
from vertecast.spine.fracture_line import FractureLine, LineState, find_fracture_line, line_parameters
from vertecast.spine.pedicles import Pedicle, measure_pedicles, pedicle_parameters
from vertecast.spine.posterior_wall import Bulge, measure_bulge, wall_parameters


@dataclass(frozen=True, eq=False)
class VertebraDetails:
    """Measures beside the heights; ``None`` where the vertebra itself could not be split, for ``reason``."""

    pedicles: Mapping[PatientSide, Pedicle] | None
    canal: Canal | None
    wall: Bulge | None
    density: Density
    cleft: Cleft
    line: FractureLine
    acuity: Acuity | None
    reason: str | None

    @classmethod
    def unknown(cls, reason: str) -> "VertebraDetails":
        """Make the details of a vertebra that could not be split."""
        line = FractureLine(LineState.UNKNOWN, (), (reason,))
        return cls(None, None, None, Density.unknown(reason), Cleft.unknown(reason), line, None, reason)

    def as_json(self) -> dict[str, Any]:
        """Return the details' part of ``spine.json``."""
        missing = {"value": None, "reason": self.reason}
        parts = {
            "pedicles": self.pedicles,
            "canal": self.canal,
            "posterior_wall": self.wall,
            "density": self.density,
            "cleft": self.cleft,
            "fracture_line": self.line,
            "acuity": self.acuity,
        }
        return {name: missing if part is None else as_document(part) for name, part in parts.items()}

    def with_age(self, is_fractured: bool | None) -> "VertebraDetails":
        """Return the details with the evidence for the age of a fracture, once it is known whether there is one."""
        if self.reason is not None:
            return self
        findings = AcuityFindings(
            is_fractured=is_fractured, line=self.line, cleft=self.cleft, is_sclerotic=self.density.is_sclerotic
        )
        return replace(self, acuity=acuity_evidence(findings))

    def with_wall(self, wall: Bulge) -> "VertebraDetails":
        """Return the details with the posterior wall, once its references are known."""
        return replace(self, wall=wall)


def measure_details(anatomy: Anatomy, volume: Volume | None, calibration: HuCalibration | None) -> VertebraDetails:
    """Measure what needs the split vertebra, and the CT where there is one."""
    try:
        density = measure_density(anatomy, volume, calibration)
        cleft = find_cleft(anatomy, volume)
        line = find_fracture_line(anatomy, volume)
        canal: Canal | None = measure_canal(anatomy)
        pedicles: Mapping[PatientSide, Pedicle] | None = measure_pedicles(anatomy)
    except GeometryError as exc:
        return VertebraDetails.unknown(str(exc))
    return VertebraDetails(pedicles, canal, None, density, cleft, line, None, None)


def measure_wall(anatomy: Anatomy, references: Sequence[Anatomy]) -> Bulge:
    """Measure the posterior wall against intact vertebrae, where there are any."""
    try:
        return measure_bulge(anatomy, list(references) or None)
    except GeometryError as exc:
        return Bulge.unknown(str(exc))


def detail_uses() -> tuple[ParameterUse, ...]:
    """Return every parameter the details use."""
    return (
        canal_parameters().uses
        + pedicle_parameters().uses
        + wall_parameters().uses
        + density_parameters().uses
        + roi_parameters().uses
        + cleft_parameters().uses
        + line_parameters().uses
        + acuity_parameters().uses
    )
