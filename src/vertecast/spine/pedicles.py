"""The two pedicles: where each is narrowest, how wide and high it is there, and along which line it runs."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.core.frames import read_only
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured
from vertecast.core.sides import Side
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.isthmus import Cut, Isthmus, PedicleParameters, angles_of, cut_across, find_isthmus
from vertecast.spine.solid import Solid

PARAMETERS = "spine/pedicles.toml"
METHOD = "least oblique section between body and arch"


@dataclass(frozen=True, slots=True, eq=False)
class Pedicle:
    """One pedicle at its isthmus; what could not be measured says why.

    Parameters
    ----------
    side : left or right of the patient
    width_mm, height_mm : central chords of the section's ellipse, across (in the transverse direction) and upwards
    inscribed_mm : diameter of the largest circle inside the section: what a straight cannula has to pass through
    area_mm2 : of the section
    convergence_deg : angle of the axis to the sagittal plane, positive when it runs towards the midline in front
    sagittal_deg : angle of the axis to the transverse plane, positive when it rises towards the front
    isthmus_lps : (3,), mm, centre of the narrowest section; None when it is unknown
    axis_lps : (3,), unit vector along the pedicle, pointing forwards into the body; None when it is unknown
    length_mm : of the channel around the isthmus
    """

    side: Side
    width_mm: Measured
    height_mm: Measured
    inscribed_mm: Measured
    area_mm2: Measured
    convergence_deg: Measured
    sagittal_deg: Measured
    length_mm: Measured
    isthmus_lps: NDArray[np.float64] | None
    axis_lps: NDArray[np.float64] | None

    @property
    def reason(self) -> str | None:
        """Why the pedicle could not be measured; None when it was."""
        return self.width_mm.reason

    @classmethod
    def unknown(cls, side: Side, reason: str) -> "Pedicle":
        """Make the pedicle that could not be measured."""
        nothing = Measured.unknown(reason)
        return cls(side, nothing, nothing, nothing, nothing, nothing, nothing, nothing, None, None)


def pedicle_parameters() -> Loaded[PedicleParameters]:
    """Load the search settings and error model shipped with the package."""
    return load_parameters(PARAMETERS, PedicleParameters)


def measure_pedicles(anatomy: Anatomy, parameters: PedicleParameters | None = None) -> dict[Side, Pedicle]:
    """Measure both pedicles of one vertebra at the narrowest section across each pedicle's own axis.

    Parameters
    ----------
    anatomy : split vertebra with its frame
    parameters : search settings; the shipped ones when None

    Returns
    -------
    dict
        Both sides always; a side that cannot be measured carries the reason.

    Notes
    -----
    The bottleneck is the narrowest place of the widest way through the bone from the body to the arch on that side, so
    it does not hang on where exactly the body was cut from the arch. From there the plane of least area is searched.
    Labels include the cortex, so width and height are outer ones. Not meant for C1 and C2, which have no such pedicle.
    """
    p = parameters or pedicle_parameters().values
    if not anatomy.body.any():
        return {side: Pedicle.unknown(side, "the labels hold no vertebral body") for side in Side}
    if not anatomy.arch.any():
        return {side: Pedicle.unknown(side, "the labels hold the body only, no arch") for side in Side}
    solid = anatomy.solid
    body = anatomy.body_solid
    return {side: _measure_side(anatomy, solid, body, side, p) for side in Side}


def _measure_side(anatomy: Anatomy, solid: Solid, body: Solid, side: Side, p: PedicleParameters) -> Pedicle:
    isthmus = find_isthmus(solid, body, side, p)
    if isinstance(isthmus, str):
        return Pedicle.unknown(side, isthmus)
    if _is_cut_by_border(anatomy, isthmus.cut):
        return Pedicle.unknown(side, f"the image border cuts the {side} pedicle")
    return _as_pedicle(anatomy, solid, side, isthmus, p)


def _is_cut_by_border(anatomy: Anatomy, cut: Cut) -> bool:
    """Tell whether the section reaches the outermost voxels of the crop, or is sampled too coarsely to be sure."""
    voxel_from_vert = (anatomy.vert_from_lps @ anatomy.grid.lps_from_voxel).inverse
    indices = voxel_from_vert.apply(cut.points())
    inside = np.maximum(1.0, cut.section.step / anatomy.grid.spacing) - 0.5
    return bool((indices < inside).any() or (indices > np.array(anatomy.grid.shape) - 1.0 - inside).any())


def _as_pedicle(anatomy: Anatomy, solid: Solid, side: Side, isthmus: Isthmus, p: PedicleParameters) -> Pedicle:
    cut, forward = isthmus.cut, isthmus.forward
    # One of three sections may touch the body or a process; the median leaves it out.
    fine = replace(p, section_step=p.section_step / 3.0)
    middle = [cut_across(solid, cut.centre + offset * forward, forward, fine) for offset in (-1.0, 0.0, 1.0)]
    sections = [one.section for one in middle if one is not None]
    width = float(np.median([one.chord(0.0) for one in sections]))
    height = float(np.median([one.chord(np.pi / 2) for one in sections]))
    width_error = p.size_error * solid.spacing_along(cut.across) + p.other_axes_error * float(solid.spacing.max())
    height_error = p.size_error * solid.spacing_along(cut.upwards) + p.other_axes_error * float(solid.spacing.max())
    length = p.lever_length + sum(isthmus.channel)
    along = solid.spacing_along(forward)
    turn, rise = (
        np.degrees(np.arctan(p.angle_error * (solid.spacing_along(axis) + along) / length))
        for axis in (cut.across, cut.upwards)
    )
    converges, rises = np.degrees(angles_of(forward, side))
    if converges + turn < -p.most_divergence:
        return Pedicle.unknown(
            side,
            f"the {side} pedicle would run {-converges:.0f} deg away from the midline in front, more than "
            f"{p.most_divergence:.0f} deg and its error of {turn:.0f} deg: the section is another part's",
        )
    area_error = cut.section.area * (width_error / width + height_error / height) / 2.0
    inscribed = float(np.median([one.inscribed() for one in sections]))
    to_lps = anatomy.vert_from_lps.inverse
    return Pedicle(
        side,
        width_mm=_positive(width, width_error, METHOD),
        height_mm=_positive(height, height_error, METHOD),
        inscribed_mm=_positive(inscribed, width_error, "largest circle inside the isthmus section"),
        area_mm2=_positive(cut.section.area, area_error, METHOD),
        convergence_deg=Measured.with_error(float(converges), float(turn), "normal of " + METHOD),
        sagittal_deg=Measured.with_error(float(rises), float(rise), "normal of " + METHOD),
        length_mm=_positive(sum(isthmus.channel), along, "run of sections within the isthmus' area ratio"),
        isthmus_lps=read_only(to_lps.apply(cut.centre)),
        axis_lps=read_only(to_lps.apply_directions(forward)),
    )


def _positive(value: float, half_width: float, method: str) -> Measured:
    """Make a size with its interval; a size is never negative."""
    return Measured(value, max(value - half_width, 0.0), value + half_width, method)
