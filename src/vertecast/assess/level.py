"""One treated level assessed: every arm in the same tests, its loads, its neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vertecast.assess.arms import (
    Arm,
    Materials,
    bone_arm,
    cemented_arm,
    fractured_arm,
    intact_density,
    unbroken_body,
)
from vertecast.assess.compression import ALPHAS, Bench, Tested, elastic_stiffness, load_arm
from vertecast.assess.loads import Trunk, load_trunk
from vertecast.assess.segment import Felt, SegmentMaterials, felt, make_segment, with_arm
from vertecast.assess.settings import AssessSettings, load_settings
from vertecast.assess.treated import Treated
from vertecast.core.errors import GeometryError, InputError
from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import ParameterUse
from vertecast.core.quantities import Measured
from vertecast.imaging.volume import Volume
from vertecast.mechanics.activities import ActivityLoads, load_activities
from vertecast.mechanics.pads import load_disc_space
from vertecast.mechanics.settings import Support, load_definition, load_support
from vertecast.physics.augmented import AugmentedLaw, load_augmented
from vertecast.physics.bone import load_law
from vertecast.physics.bone_yield import load_post_yield
from vertecast.procedure.fractured import DiscGrade, load_discs, load_fractured
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration

ARMS = ("before", "fractured", "after")
Images = tuple[Volume, HuCalibration]


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """All laws and settings of an assessment, loaded once."""

    settings: AssessSettings
    materials: Materials
    segment: SegmentMaterials
    bench: Bench
    trunk: Trunk
    activities: ActivityLoads
    uses: tuple[ParameterUse, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Loaded:
    """What the tests of one level gave.

    Parameters
    ----------
    tested : by arm; a sentence where the arm does not exist
    stiffness : N/mm by arm
    bounds : N/mm, stiffness after with the softest and the stiffest cement
    felt : by arm (and ``after_softest``, ``after_stiffest``), then by side; empty without neighbours
    missing : why a neighbour is not assessed, by side
    """

    tested: Mapping[str, Tested | str]
    stiffness: Mapping[str, float]
    bounds: tuple[float, float]
    felt: Mapping[str, Mapping[str, Felt]]
    missing: Mapping[str, str]


def load_laboratory() -> Laboratory:
    """Load every law and setting."""
    settings, trunk, activities = load_settings(), load_trunk(), load_activities()
    law, definition, crush = load_law(), load_definition(), load_post_yield("crush")
    perfect, broken, cement = load_post_yield(), load_fractured(), load_augmented()
    pad, discs, space = load_support(Support.PMMA), load_discs(DiscGrade.HEALTHY), load_disc_space()
    materials = Materials(
        bone=law,
        definition=definition.values,
        crush=crush.values,
        fractured=broken.values,
        cement=cement.values,
    )
    return Laboratory(
        settings=settings.values,
        materials=materials,
        segment=SegmentMaterials(
            materials=materials, discs=discs.values, space=space.values, pad=pad.values, settings=settings.values
        ),
        bench=Bench(settings=settings.values, pad=pad.values, perfect=perfect.values, calibrated=False),
        trunk=trunk.values,
        activities=activities.values,
        uses=(
            *settings.uses,
            *trunk.uses,
            *activities.uses,
            *law.uses,
            *definition.uses,
            *crush.uses,
            *perfect.uses,
            *broken.uses,
            *cement.uses,
            *pad.uses,
            *discs.uses,
            *space.uses,
        ),
    )


def make_arms(
    treated: Treated, intact: Sequence[Anatomy], images: Images, materials: Materials
) -> dict[str, Arm | str]:
    """Return the arms of a level; a sentence in place of one that does not exist."""
    if treated.fractured is False:
        bone = bone_arm(treated.body, treated.density, materials)
        none = f"{treated.level} is not fractured"
        return {"before": bone, "fractured": none, "after": cemented_arm(treated, bone, materials)}
    now = intact_density(treated, treated.body, intact, images)
    fractured = fractured_arm(treated, treated.density if now is None else now, materials)
    before: Arm | str
    if now is None or treated.lost is None or treated.fractured is None:
        before = "no intact neighbour or no reference height tells what the level was before"
    else:
        body = unbroken_body(treated)
        density = intact_density(treated, body, intact, images)
        assert density is not None
        before = bone_arm(body, density, materials)
    if now is None:
        fractured = replace(fractured, said="density of the fractured bone itself, since no intact neighbour is there")
    return {"before": before, "fractured": fractured, "after": cemented_arm(treated, fractured, materials)}


def cement_bounds(law: AugmentedLaw, settings: AssessSettings) -> tuple[AugmentedLaw, AugmentedLaw]:
    """Return the softest and the stiffest cement that the sources allow."""
    return (
        replace(law, cement_modulus=settings.cement_modulus_low),
        replace(law, cement_modulus=settings.cement_modulus_high, modulus_exponent=settings.parallel_exponent),
    )


def load_level(
    treated: Treated,
    around: tuple[Sequence[Anatomy], Mapping[str, Anatomy | str]],
    images: Images,
    laboratory: Laboratory,
    *,
    observer: Observer = SILENT,
) -> Loaded:
    """Put every arm of a level through the tests.

    Parameters
    ----------
    around : intact vertebrae that tell the density before the break, and the neighbours by ``above`` and ``below``

    Raises
    ------
    InputError
        When the observer cancels.

    Notes
    -----
    Stiffness is read at the level's own voxel, strength on cells no smaller than the settings' for the time it takes,
    the segment on its own.
    """
    settings, materials = laboratory.settings, laboratory.materials
    bench = replace(laboratory.bench, calibrated=treated.calibrated)
    coarse = treated.at_voxel(max(treated.voxel_mm, settings.strength_voxel))
    results: dict[str, Tested | str] = {}
    for name, arm in make_arms(coarse, around[0], images, materials).items():
        observer.begin(f"{treated.level}: testing {name}", len(ALPHAS) * round(settings.increments))
        results[name] = arm if isinstance(arm, str) else load_arm(arm, coarse.grid, materials, bench, observer)
        _require_going_on(observer)
    arms = make_arms(treated, around[0], images, materials)
    observer.begin(f"{treated.level}: stiffness")
    stiffness = {
        name: elastic_stiffness(arm, treated.grid, materials, bench)
        for name, arm in arms.items()
        if isinstance(arm, Arm)
    }
    base = _base(arms)
    laws = cement_bounds(materials.cement, settings)
    limits = [cemented_arm(treated, base, materials, law) for law in laws]
    soft, stiff = (elastic_stiffness(arm, treated.grid, materials, bench) for arm in limits)
    observer.begin(f"{treated.level}: neighbours")
    found, missing = _segment(treated, (arms, limits), around, images, laboratory)
    return Loaded(tested=results, stiffness=stiffness, bounds=(soft, stiff), felt=found, missing=missing)


def _require_going_on(observer: Observer) -> None:
    if observer.cancelled():
        raise InputError("the assessment was cancelled and nothing was written; assess the folder again")


def _base(arms: Mapping[str, Arm | str]) -> Arm:
    """Return the bone that the cement was put into."""
    fractured, before = arms["fractured"], arms["before"]
    base = fractured if isinstance(fractured, Arm) else before
    assert isinstance(base, Arm)
    return base


def _segment(
    treated: Treated,
    made: tuple[Mapping[str, Arm | str], Sequence[Arm]],
    around: tuple[Sequence[Anatomy], Mapping[str, Anatomy | str]],
    images: Images,
    laboratory: Laboratory,
) -> tuple[dict[str, dict[str, Felt]], Mapping[str, str]]:
    """Return what the neighbours feel in each state of the treated body; its shape stays that before the procedure."""
    arms, limits = made
    materials, settings = laboratory.materials, laboratory.settings
    try:
        segment = make_segment(treated, around[1], images, laboratory.segment)
    except GeometryError as exc:
        said = {side: one if isinstance(one, str) else str(exc) for side, one in around[1].items()}
        return {}, said
    states: dict[str, tuple[Arm, bool]] = {}
    base = _base(arms)
    if isinstance(arms["before"], Arm):
        states["before"] = (_in_place(arms["before"], base), False)
    states["fractured" if isinstance(arms["fractured"], Arm) else "before"] = (base, False)
    after = arms["after"]
    assert isinstance(after, Arm)
    for name, arm in (("after", after), ("after_softest", limits[0]), ("after_stiffest", limits[1])):
        states[name] = (arm, True)
    found = {
        name: felt(segment, with_arm(segment, arm, treated, materials, moved=moved), settings)
        for name, (arm, moved) in states.items()
    }
    return found, segment.missing


def _in_place(before: Arm, now: Arm) -> Arm:
    """Return the unbroken bone in the shape of now: between the neighbours there is room for no other."""
    return replace(before, body=before.body & now.body)


def known(value: float, method: str, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """Return a Q."""
    return Measured(value, low, high, method).as_json()


def unknown(reason: str) -> dict[str, Any]:
    """Return the Q that is not there."""
    return Measured.unknown(reason).as_json()
