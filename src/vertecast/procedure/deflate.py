"""Letting go: the balloon empties under the patient's load, or the tool stays and holds what it has lifted."""

from dataclasses import replace

from vertecast.core.observer import SILENT, Observer
from vertecast.kernels.cavity import CavityRecord, CavityState, Goal, WalkControl, WalkStatus, walk
from vertecast.procedure.lift import STEPS, Lift
from vertecast.procedure.tools import CavityTool, Force


def deflate(
    lift: Lift,
    *,
    stays: bool | None = None,
    in_turn: bool = False,
    observer: Observer = SILENT,
    control: WalkControl | None = None,
) -> Lift:
    """Let the tools go under the load that is on; keeps the moment ``deflated``.

    Parameters
    ----------
    stays : whether the tools stay and hold; each tool's own rule when None (another value is the null model)
    in_turn : whether a tool is let go only when the side before is full of cement: that keeps the volume it then has

    Notes
    -----
    A tool that stays loses the share of its diameter that it recoils. When the bone comes back on it, it holds its
    volume, and the pressure is that of the bone on the tool; bone that comes back less than the tool recoils is not
    touched. A tool that is removed leaves no pressure at all.
    """
    steps = control or STEPS
    kept = {
        k: volume * _kept(tool, lift)
        for k, (tool, volume) in enumerate(zip(lift.tools, lift.fluids, strict=True))
        if (tool.stays if stays is None else stays) and tool.force is not Force.CUTTING
    }
    sides = [(k,) for k in range(len(lift.tools))] if in_turn and not kept else [tuple(range(len(lift.tools)))]
    for group in sides:
        held = kept or {k: volume for k, volume in enumerate(lift.fluids) if k not in group}
        lift, found = _let_go(lift, group, held, (observer, steps))
        if not found:
            break
    if lift.trail is not None:
        seconds = lift.seconds + let_go_seconds(lift)
        lift = replace(lift, trail=lift.trail.followed(lift.state, lift.level.spacing, seconds, "deflated"))
    return lift.keeping("deflated")


def _let_go(
    lift: Lift, group: tuple[int, ...], held: dict[int, float], how: tuple[Observer, WalkControl]
) -> tuple[Lift, bool]:
    """Take the pressure off a group of tools.

    Parameters
    ----------
    held : mm³ at which the bone meets a tool again; tools outside the group hold it from the beginning

    Returns
    -------
    the lift, and whether an equilibrium was found
    """
    observer, steps = how
    caught = frozenset(k for k in held if k not in group)
    while True:
        done = walk(
            lift.problem,
            lift.state,
            Goal(
                volumes=tuple(held[k] if k in caught else None for k in range(len(lift.tools))),
                pressures=tuple(None if k in caught else 0.0 for k in range(len(lift.tools))),
                load=1.0,
            ),
            control=steps,
            watch=_Catch(held, caught),
            observer=observer,
        )
        lift = replace(lift, state=done.state)
        if done.status is not WalkStatus.STOPPED:
            break
        volumes = lift.volumes
        caught = caught | {k for k, least in held.items() if volumes[k] <= least}
    if done.status is WalkStatus.STALLED:
        left = ", ".join(f"{p:.2f}" for p in done.state.pressures)
        lift = replace(
            lift, notes=(*lift.notes, f"deflation found no equilibrium below {left} MPa; the last good state is kept")
        )
    return lift, done.status is not WalkStatus.STALLED


def let_go_seconds(lift: Lift) -> float:
    """Return how long the fluid takes to be drawn back, s, at the rate of inflation."""
    if "inflated" not in lift.moments:
        return 0.0
    before = lift.moments["inflated"].volumes(lift.level.spacing)
    drawn = max(was - now for was, now in zip(before, lift.volumes, strict=True))
    return max(drawn, 0.0) / lift.settings.rate


class _Catch:
    """Stops the walk when the bone has come back on a tool that stays."""

    def __init__(self, held: dict[int, float], caught: frozenset[int]) -> None:
        self.open = {k: kept for k, kept in held.items() if k not in caught}

    def __call__(self, state: CavityState, record: CavityRecord) -> str | None:
        return "caught" if any(record.volumes[k] <= kept for k, kept in self.open.items()) else None


def _kept(tool: CavityTool, lift: Lift) -> float:
    """Return the share of the volume that is left after the recoil of the tool's diameter."""
    share = 1.0 - (tool.recoil or lift.settings.stent_recoil)
    return share if tool.force is Force.CRANIOCAUDAL else share**2
