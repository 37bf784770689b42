"""How a needle path is judged: margins of the gates and weights of the score, as data."""

from dataclasses import dataclass

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryRules:
    """``data/planning/trajectory.toml``."""

    bone_margin: float = quantity("mm", "bone left between the tube and the outside of the pedicle and the body")
    field_error: float = quantity("mm", "error of the sampled distances, added to every margin of a hard gate")
    anterior_margin: float = quantity("mm", "bone left ahead of the tip, on the needle's own line")
    canal_margin: float = quantity("mm", "room between the tube and the canal")
    root_margin: float = quantity("mm", "room between the tube and a nerve root's corridor")
    root_radius: float = quantity("mm", "radius of a nerve root's corridor")
    root_gap: float = quantity("mm", "bone-to-root distance under a pedicle")
    root_course_lumbar: tuple[float, ...] = quantity("mm", "course of a lumbar root: lateral, posterior, superior")
    root_course_thoracic: tuple[float, ...] = quantity("mm", "course of a thoracic root: lateral, posterior, superior")
    lung_margin: float = quantity("mm", "room between the tube and aerated lung")
    behind_isthmus: float = quantity("mm", "how far behind the isthmus the tube must be all bone")
    lead_in: float = quantity(
        "mm", "length behind an extrapedicular entry into the body in which the tube may be partly outside"
    )
    entry_behind_wall: float = quantity("mm", "how far behind the posterior wall an extrapedicular path may enter bone")
    comfort: float = quantity("mm", "clearance above which more counts no more")
    medial_weight: float = quantity("1", "weight of clearance to the canal")
    inferior_weight: float = quantity("1", "weight of clearance to the nerve roots")
    wall_weight: float = quantity("1", "weight of clearance to any other wall")
    tip_weight: float = quantity("1", "weight of the distance from tip to target")
    midline_reach: float = quantity("mm", "distance to the midline at which one side is taken to serve both")
    midline_weight: float = quantity("1", "weight of what is missing to the midline for one-sided plans")
    angle_weight: float = quantity("1", "weight of the angle to the pedicle's axis")
    length_weight: float = quantity("1", "weight of the path length in bone")
    view_weight: float = quantity("1", "weight of the bull's-eye view beyond the C-arm's limit")
    view_limit: float = quantity("deg", "rotation and tilt the C-arm reaches")
    recross_weight: float = quantity("1", "weight of bone crossed before the entry")
    robustness_weight: float = quantity("1", "weight of the missing share of robust paths")
    sigma_shift: float = quantity("mm", "standard deviation of the entry point, each direction")
    sigma_angle: float = quantity("deg", "standard deviation of the direction, each direction")
    target_depth: float = quantity("1", "target's distance from the anterior wall over the depth")
    target_side: float = quantity("1", "target of a two-sided plan: distance from the midline over the half-width")
    target_superior: float = quantity("1", "target's relative height for a superior endplate")
    target_inferior: float = quantity("1", "target's relative height for an inferior endplate")
    different_entry: float = quantity("mm", "plans whose entries lie farther apart are different")
    different_angle: float = quantity("deg", "plans whose directions differ by more are different")
    needles_apart: float = quantity("mm", "room between the two tubes of a two-sided plan")
    robust_enough: float = quantity("1", "robustness that is asked; above it a one-sided plan is preferred")
    robust_enough_weight: float = quantity("1", "weight of what is missing to it")


def trajectory_rules() -> Loaded[TrajectoryRules]:
    """Load the shipped margins and weights."""
    return load_parameters("planning/trajectory.toml", TrajectoryRules)
