"""A body crushed deep, unloaded, rested and loaded again: what a compression fracture takes and leaves."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import ParameterUse
from vertecast.imaging.volume import Volume
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.foam import FoamBody, FoamState
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_loading import FoamRecord, FoamUnderLoad
from vertecast.kernels.newton import Path, PathStatus, StepControl, follow
from vertecast.mechanics.curve import Curve
from vertecast.mechanics.pads import Neighbours
from vertecast.mechanics.settings import StrengthOptions, load_definition, load_support
from vertecast.mechanics.specimen import Specimen, make_specimen
from vertecast.physics.bone import BoneLaw, load_law
from vertecast.physics.bone_density import DensityKind, convert_density, load_conversions
from vertecast.physics.bone_yield import DeepCrush, densification, foam_law, load_deep_crush, load_post_yield
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration

Array = NDArray[np.float64]

_DEEPEST = 0.4  # share of the height; beyond, the layers' own geometry is no longer that of the mesh
_AGAIN = 0.03  # share of the height pressed after the rest: as in the strength test
_UNLOADED = 1e-3  # share of the highest force that counts as none
_SECANTS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Recrush:
    """The two curves of one specimen, and how much of its height came back.

    Parameters
    ----------
    first, second : force against shortening; the second begins at the rested height
    pressed, unloaded, rested : mm of height lost under load, after unloading, and after rest
    compaction : (nx, ny, nz), 1, plastic volume strain (positive: denser); 0 outside the mesh
    status : how the first crush ended
    """

    first: Curve
    second: Curve
    pressed: float
    unloaded: float
    rested: float
    compaction: NDArray[np.float32]
    status: PathStatus
    uses: tuple[ParameterUse, ...] = ()

    @property
    def stiffness_ratio(self) -> float:
        """Stiffness after over before."""
        return self.second.stiffness / self.first.stiffness

    @property
    def strength_ratio(self) -> float:
        """Force at yield (0.2 % offset) after over before; the highest force where the offset line is not met."""
        after, before = (one.offset_strength(0.002) for one in (self.second, self.first))
        if after.value is None or before.value is None:
            return float(self.second.force.max() / self.first.force.max())
        return after.value / before.value

    @property
    def recovered(self) -> float:
        """Share of the imposed height loss that is back after rest."""
        return 1.0 - self.rested / self.pressed

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "status": self.status.value,
            "pressed_percent": 100 * self.pressed / self.first.height,
            "rested_percent": 100 * self.rested / self.first.height,
            "recovered_percent": 100 * self.recovered,
            "stiffness_ratio": self.stiffness_ratio,
            "strength_ratio": self.strength_ratio,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Pores:
    """How much room the pores of each element leave.

    Parameters
    ----------
    apparent : (n,), mg/mm³, before the crush; NaN in the pads, which do not compact
    """

    apparent: Array
    crush: DeepCrush

    def hardening(self, state: FoamState) -> Array:
        """Return the factor on each element's yield stress, (n,); 1 until the pores begin to close."""
        factor, bone = np.ones_like(self.apparent), np.isfinite(self.apparent)
        factor[bone] = densification(compaction_of(state)[bone], self.apparent[bone], self.crush)
        return factor


class _Layers(FoamUnderLoad):
    """Goes on from a displaced state; pores that close raise the yield stress after every step."""

    def __init__(
        self, body: FoamBody, specimen: Specimen, start: tuple[Array, FoamState], travel: float, pores: Pores
    ) -> None:
        mesh = body.mesh
        fixed, values = np.zeros((3, *mesh.node_shape), bool), np.zeros((3, *mesh.node_shape))
        fixed[:, specimen.pads.lower | specimen.pads.upper] = True
        values[2][specimen.pads.upper] = -travel
        super().__init__(body, Constraints(fixed, values), grip=specimen.pads.upper, state=start[1])
        self.start, self.virgin, self.pores = start[0], mesh.pack(specimen.strength), pores
        self.forces: list[float] = []

    def imbalance(self, u: Array, scale: float):  # type: ignore[no-untyped-def]
        """Return the imbalance at ``u`` past the start."""
        return super().imbalance(self.start + u, scale)

    def accept(self, u: Array, scale: float) -> FoamRecord:
        """Accept, and harden what has become denser; the yield stress stays frozen within a step."""
        record = super().accept(self.start + u, scale)
        self.forces.append(-float(record.force[2]))
        self.body = replace(self.body, strength=self.virgin * self.pores.hardening(self.state))
        return record


def compaction_of(state: FoamState) -> Array:
    """Return the plastic volume strain of each element, mean of its points, positive where denser; (n,)."""
    return np.asarray(np.maximum(-state.plastic[:, :3].sum(axis=1).mean(axis=0, dtype=np.float64), 0.0))


def crush_and_reload(
    anatomy: Anatomy,
    volume: Volume,
    calibration: HuCalibration,
    options: StrengthOptions,
    *,
    depth: float,
    neighbours: Neighbours | None = None,
    observer: Observer = SILENT,
) -> Recrush:
    """Crush a vertebral body by ``depth`` of its height, unload, rest and load it again; see :func:`recrush`.

    The post-yield behaviour is ``crush``, whatever the options say of it, and the shape of the yield surface the one
    of the options that widens least.

    Notes
    -----
    The loss of stiffness and strength and the recovery are calibrated on Wegrzyn 2011: they are no validation.
    """
    definition, pad, law = load_definition(), load_support(options.support), load_law(options.law)
    post, crush = load_post_yield("crush"), load_deep_crush()
    settings = (options, definition.values, pad.values)
    specimen = make_specimen(anatomy, volume, calibration, law, settings, neighbours=neighbours)
    observer.begin(f"{anatomy.level}: crushing by {100 * depth:g} % of its height", _steps(depth) + _steps(_AGAIN))
    apparent = apparent_density(specimen, law, crush.values, volume.scan.kvp)
    foam = foam_law(post.values, max(options.alphas), options.voxel_mm)
    found = recrush(specimen, foam, apparent, crush.values, depth=depth, observer=observer)
    return replace(found, uses=(*specimen.uses, *definition.uses, *pad.uses, *post.uses, *crush.uses))


def recrush(
    specimen: Specimen,
    law: FoamLaw,
    apparent: Array,
    crush: DeepCrush,
    *,
    depth: float = 0.25,
    again: float = _AGAIN,
    observer: Observer = SILENT,
) -> Recrush:
    """Press the upper platen down by ``depth`` of the height, let go, rest, and press again by ``again``.

    Parameters
    ----------
    specimen : between caps or discs; both platens bonded, the upper one moves straight
    law : with damage, or the bone would be as stiff as before
    apparent : (nx, ny, nz), mg/mm³, apparent density of the bone, NaN elsewhere
    depth, again : share of the body's height

    Raises
    ------
    ParameterError
        For a depth above 0.4, or where the pores close within one step.

    Notes
    -----
    Strains are engineering strains along the axis. A foam with alpha = 3/sqrt(2) does not widen, so force and
    shortening are exact for a straight column; for other shapes the depth is only as good as small strains are.
    At rest the recoverable share of the plastic strain springs back. The displacement shrinks by the same share, so
    the residual stress does too, and equilibrium at zero force is kept without a solve.
    """
    require_depth(depth)
    mesh = BrickMesh.from_mask(specimen.mesh_mask, specimen.grid.spacing)
    lame, mu = lame_parameters(mesh.pack(specimen.young), mesh.pack(specimen.poisson))
    body = FoamBody(mesh, lame, mu, mesh.pack(specimen.strength), law, Integration.MEAN_DILATATION)
    rest = (np.zeros((3, *mesh.node_shape)), FoamState.virgin(mesh.count))
    travel, pores = depth * specimen.height, Pores(mesh.pack(apparent), crush)
    problem = _Layers(body, specimen, rest, travel, pores)
    elastic = -float(problem.resting_force()[2][problem.grip].sum()) / travel
    path = follow(problem, StepControl(increments=_steps(depth), iterations=25, tolerance=1e-3), observer=observer)
    first = replace(_curve(problem, path, travel, specimen.height), stiffness=elastic)
    pressed = travel * (path.increments[-1].scale if path.increments else 0.0)
    state = (path.displacement, problem.state)
    body, state, unloaded = _unloaded(problem.body, specimen, state, first, pores)
    share = 1.0 - crush.recoverable_share
    state = (share * state[0], FoamState((share * state[1].plastic).astype(np.float32), state[1].kappa))
    second = _Layers(body, specimen, state, again * specimen.height, pores)
    back = follow(second, StepControl(increments=_steps(again), tolerance=1e-3), observer=observer)
    return Recrush(
        first,
        _curve(second, back, again * specimen.height, specimen.height),
        pressed,
        unloaded,
        share * unloaded,
        mesh.unpack(compaction_of(problem.state)).astype(np.float32),
        path.status,
    )


def require_depth(depth: float) -> None:
    """Refuse a depth, as a share of the height, that this mesh cannot follow."""
    if not 0.0 < depth <= _DEEPEST:
        raise ParameterError(f"depth = {depth} of the height is outside 0-{_DEEPEST}; a deeper crush needs a new mesh")


def apparent_density(specimen: Specimen, law: BoneLaw, crush: DeepCrush, kvp: float | None) -> Array:
    """Return the apparent density of the specimen's bone, (nx, ny, nz), mg/mm³; NaN in marrow, pads and outside."""
    conversions = load_conversions().values
    turned = convert_density(
        specimen.density, law.kind, DensityKind.APPARENT, conversions, kvp=crush.tube_voltage if kvp is None else kvp
    )
    return np.asarray(np.where(np.isfinite(specimen.strength) & specimen.body, turned, np.nan))


def _steps(strain: float) -> int:
    """Steps of half a per cent of the height when deep; 20 at least, so that the first ones show the stiffness."""
    return max(20, round(strain / 0.005))


def _curve(problem: _Layers, path: Path[FoamRecord], travel: float, height: float) -> Curve:
    """Return force against travel; the stiffness is that of the first step."""
    places = np.array([0.0, *(one.scale * travel for one in path.increments)])
    force = np.array([0.0, *problem.forces])
    if len(places) < 2:
        raise ParameterError("no step of the crush found equilibrium; use smaller voxels or another post-yield law")
    return Curve(places, force, float(force[1] / places[1]), height)


def _unloaded(
    body: FoamBody, specimen: Specimen, state: tuple[Array, FoamState], loaded: Curve, pores: Pores
) -> tuple[FoamBody, tuple[Array, FoamState], float]:
    """Lift the platen until it carries nothing, by secants; return body, state and the height still lost, mm."""
    place, force = float(loaded.shortening[-1]), float(loaded.force[-1])
    limit, slope = _UNLOADED * float(loaded.force.max()), loaded.stiffness
    for _ in range(_SECANTS):
        if abs(force) <= limit:
            break
        travel = -force / slope
        problem = _Layers(body, specimen, state, travel, pores)
        path = follow(problem, StepControl(increments=2, iterations=25, tolerance=1e-4))
        if path.status is not PathStatus.COMPLETE:
            raise ParameterError("unloading found no equilibrium; use smaller voxels or another post-yield law")
        slope = (problem.forces[-1] - force) / travel
        place, force = place + travel, problem.forces[-1]
        state, body = (state[0] + path.displacement, problem.state), problem.body
    return body, state, place
