"""What the 3-D view shows, from a run folder: bones, needles, and what fills the bone in the course of time."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import InputError
from vertecast.imaging.grid import Grid
from vertecast.imaging.read import read_labels
from vertecast.report.case_report_run import READ_ERRORS, RunFolder
from vertecast.report.case_report_words import event_sentence
from vertecast.report.lifted import Motion, level_lift, motions
from vertecast.report.view3d_meshes import Mesh, mask_mesh

_OWN_TRIANGLES, _OTHER_TRIANGLES, _CANAL_TRIANGLES = 14000, 5000, 2000
_NEIGHBOURS = 2
"""Vertebrae shown above the highest and below the lowest treated level."""
_BODY, _ARCH, _CANAL, _NEIGHBOUR = 1, 2, 4, 6  # numbers of fields/<level>/regions.nii.gz
_BEFORE_S, _AFTER_S = 2.0, 4.0
_REST_S = 2.0
_IDLE_SHARE = 0.1
_LEAST_FRACTION = 0.02
_FILLS = {"cement": "cement_arrival_s", "balloon": "balloon_arrival_s"}


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """One surface; ``kind`` is target, neighbour or canal; its name stands at the height of ``middle_lps``, mm.

    Parameters
    ----------
    mesh : as on the CT
    motion : how it moves while a tool lifts; None where it stays
    """

    name: str
    kind: str
    mesh: Mesh
    middle_lps: NDArray[np.float64]
    motion: Motion | None = None

    def at(self, second: float) -> Mesh:
        """Return the surface as it lies at a moment of the procedure's clock."""
        return self.mesh if self.motion is None else self.motion.moved(self.mesh, second)


@dataclass(frozen=True, slots=True, eq=False)
class Needle:
    """A straight tube; ``from_s`` and ``until_s`` tell when it is in place."""

    name: str
    outer_lps: NDArray[np.float64]
    tip_lps: NDArray[np.float64]
    radius_mm: float
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """What fills voxels in the course of time: cement or a balloon.

    Parameters
    ----------
    arrival_s : (nx, ny, nz), NaN where it never comes
    amount : (nx, ny, nz), 0 to 1, of what the voxel can hold
    grid : of both
    until_s : when it is taken out again; infinite for cement
    """

    name: str
    kind: str
    arrival_s: NDArray[np.float32]
    amount: NDArray[np.float32]
    grid: Grid
    until_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene3D:
    """All that the view shows.

    Parameters
    ----------
    centre_lps : (3,), mm: where the camera looks
    axes_lps : (3, 3): rows are the patient's left, posterior and superior at the treated level
    span_s : first and last moment of the timeline; None without a simulation
    captions : what happens, with its second
    progress : cement in all levels together, second and mL
    notes : what could not be shown, in sentences
    """

    bones: tuple[Bone, ...]
    needles: tuple[Needle, ...]
    fillings: tuple[Filling, ...]
    centre_lps: NDArray[np.float64]
    axes_lps: NDArray[np.float64]
    span_s: tuple[float, float] | None
    captions: tuple[tuple[float, str], ...] = ()
    progress: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def course(self) -> tuple[tuple[float, float], ...]:
        """How a slider runs over the timeline: shares of it, 0 to 1, and the seconds shown there.

        What happens gets room by the root of how long it lasts, so that a balloon's seconds are seen beside the minutes
        of an injection; all waiting together gets a tenth.
        """
        if self.span_s is None:
            return ()
        spans = [(float(np.nanmin(one.arrival_s)), float(np.nanmax(one.arrival_s))) for one in self.fillings]
        spans += [(float(m.seconds[0]), float(m.seconds[-1])) for b in self.bones if (m := b.motion) is not None]
        return _course(_merged(spans, self.span_s), self.span_s)


def _merged(spans: list[tuple[float, float]], within: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the spans with some rest about each, joined where they meet, inside ``within``."""
    merged: list[tuple[float, float]] = []
    for first, last in sorted(spans):
        low, high = max(first - _REST_S, within[0]), min(last + _REST_S, within[1])
        if merged and low <= merged[-1][1] + _REST_S:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _course(busy: list[tuple[float, float]], span: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    ends = sorted({*span, *(second for pair in busy for second in pair)})
    pieces = [(low, high, any(a <= low and high <= b for a, b in busy)) for low, high in pairwise(ends)]
    weights = {True: 0.0, False: 0.0}
    for low, high, active in pieces:
        weights[active] += (high - low) ** 0.5
    idle = _IDLE_SHARE if weights[False] and weights[True] else float(not weights[True])
    knots, share = [(0.0, span[0])], 0.0
    for low, high, active in pieces:
        share += (1.0 - idle if active else idle) * (high - low) ** 0.5 / weights[active]
        knots.append((min(share, 1.0), high))
    return tuple(knots)


def make_scene(run: RunFolder) -> Scene3D | None:
    """Build the scene of a run folder; None when it holds neither bones nor needles nor fields."""
    still, notes = _bones(run)
    lifts = tuple(lift for level in run.levels if (lift := level_lift(run, level)) is not None)
    moved = motions(lifts, {one.name: one.mesh for one in still})
    bones = tuple(replace(one, motion=moved.get(one.name)) for one in still)
    needles = tuple(_needles(run))
    fillings = tuple(one for level in run.levels for one in _fillings(run, level))
    if not (bones or needles or fillings):
        return None
    origin, axes = _frame(run, bones, needles)
    told = (tuple(_captions(run)), cement_progress(run))
    return Scene3D(bones, needles, fillings, origin, axes, _span(run, fillings), *told, notes)


def _bones(run: RunFolder) -> tuple[tuple[Bone, ...], tuple[str, ...]]:
    """Return the surfaces from the run's labels, or from the simulation's regions where the labels are gone."""
    path, why = run.input_path("labels")
    if path is not None:
        try:
            return _labelled_bones(run, read_labels(path)), ()
        except READ_ERRORS as exc:
            why = f"the run's labels cannot be read ({exc})"
    bones = tuple(bone for level in run.levels for bone in _region_bones(run, level))
    said = "bones are shown as far as the simulation's grid reaches" if bones else "bones are not shown"
    return bones, (f"{said}: {why}.",)


def _labelled_bones(run: RunFolder, labels: Any) -> tuple[Bone, ...]:
    treated = run.levels or tuple(level.value for level in labels.values)
    there = sorted(labels.values, key=lambda one: one.rank)
    # Counted among the labelled ones: a rank is left out where there is no T13 or L6.
    places = [place for place, level in enumerate(there) if level.value in treated] or list(range(len(there)))
    bones = []
    for level in there[max(0, min(places) - _NEIGHBOURS) : max(places) + _NEIGHBOURS + 1]:
        own = level.value in run.levels
        mesh = mask_mesh(labels.mask(level), labels.grid, triangles=_OWN_TRIANGLES if own else _OTHER_TRIANGLES)
        if mesh is not None:
            bones.append(Bone(level.value, "target" if own else "neighbour", mesh, _middle(run, level.value, mesh)))
    bones += [one for name in run.levels for one in _region_bones(run, name) if one.kind == "canal"]
    return tuple(bones)


def _region_bones(run: RunFolder, level: str) -> list[Bone]:
    found = run.field(level, "regions")
    if found is None:
        return []
    regions, grid = found
    bones = []
    for kind, numbers, triangles in (
        ("target", (_BODY, _ARCH), _OWN_TRIANGLES),
        ("neighbour", (_NEIGHBOUR,), 2 * _OTHER_TRIANGLES),
        ("canal", (_CANAL,), _CANAL_TRIANGLES),
    ):
        mesh = mask_mesh(np.isin(regions, numbers), grid, triangles=triangles)
        if mesh is not None:
            names = {"target": level, "neighbour": f"neighbours of {level}", "canal": f"spinal canal at {level}"}
            bones.append(Bone(names[kind], kind, mesh, _middle(run, names[kind], mesh)))
    return bones


def _middle(run: RunFolder, name: str, mesh: Mesh) -> NDArray[np.float64]:
    """Return a vertebra's body centre where it was measured, else the middle of its surface."""
    frame = run.vertebra(name).get("frame")
    if frame:
        return np.array(frame["origin_lps_mm"], float)
    return np.asarray(0.5 * (mesh.points_lps.min(axis=0) + mesh.points_lps.max(axis=0)))


def _needles(run: RunFolder) -> list[Needle]:
    needles = []
    for level in run.levels:
        plans = run.level("plan", level).get("plans") or [{}]
        for one in plans[0].get("needles", []):
            side, tool = one["side"], one["tool"]
            entry, tip = np.array(one["entry_lps_mm"], float), np.array(one["tip_lps_mm"], float)
            back = (entry - tip) / np.linalg.norm(entry - tip)
            length = min(float(tool.get("length_mm") or 120.0), 125.0)
            placed = [e["t_s"] for e in run.events_of("access", level=level) if e.get("side") == side]
            gone = [e["t_s"] for e in run.events_of("needle_removed", level=level) if e.get("side") == side]
            needles.append(
                Needle(
                    f"{level} {side}, {tool['name']}",
                    tip + back * length,
                    tip,
                    float(tool["outer_diameter_mm"]) / 2,
                    min(placed, default=-np.inf),
                    max(gone, default=np.inf),
                )
            )
    return needles


def _fillings(run: RunFolder, level: str) -> list[Filling]:
    fillings = []
    for kind, stem in _FILLS.items():
        found = run.field(level, stem)
        if found is None or not np.isfinite(found[0]).any():
            continue
        arrival, grid = found
        amount = _amount(run, level, arrival) if kind == "cement" else np.isfinite(arrival).astype(np.float32)
        removed = [e["t_s"] for e in run.events_of("balloon_removed", level=level)] if kind == "balloon" else []
        box = ndimage.find_objects((amount > _LEAST_FRACTION).astype(np.uint8))
        if not box:
            continue
        cut = tuple(
            slice(max(part.start - 2, 0), min(part.stop + 2, size))
            for part, size in zip(box[0], arrival.shape, strict=True)
        )
        shift = np.eye(4)
        shift[:3, 3] = [part.start for part in cut]
        part_grid = Grid.from_affine(arrival[cut].shape, grid.lps_from_voxel.matrix @ shift)
        until = max(removed, default=np.inf)
        fillings.append(Filling(f"{kind}, {level}", kind, arrival[cut], amount[cut], part_grid, float(until)))
    return fillings


def _amount(run: RunFolder, level: str, arrival: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cement per voxel relative to what the pores can take, 0 to 1."""
    fraction, pores = run.field(level, "cement_fraction"), run.field(level, "pore_fraction")
    if fraction is None:
        return np.isfinite(arrival).astype(np.float32)
    if fraction[0].shape != arrival.shape:
        raise InputError(f"fields/{level}: cement_fraction and cement_arrival_s differ in shape; simulate again")
    room = np.maximum(pores[0], 0.05) if pores is not None else np.float32(1.0)
    share = np.clip(fraction[0] / room, 0.0, 1.0)
    return np.asarray(np.where(np.isfinite(arrival), share, 0.0), np.float32)


def _frame(
    run: RunFolder, bones: tuple[Bone, ...], needles: tuple[Needle, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where to look and the patient's axes there: the middle treated level's own frame where it is known."""
    frames = [frame for name in run.levels if (frame := run.vertebra(name).get("frame"))]
    if frames:
        middle = np.mean([frame["origin_lps_mm"] for frame in frames], axis=0)
        one = frames[len(frames) // 2]
        return middle, np.array([one["left_lps"], one["posterior_lps"], one["superior_lps"]], float)
    own = [bone.mesh.points_lps for bone in bones if bone.kind == "target"] or [b.mesh.points_lps for b in bones]
    points = np.concatenate(own) if own else np.array([needle.tip_lps for needle in needles] or [np.zeros(3)])
    return np.asarray(points.mean(axis=0)), np.eye(3)


def _span(run: RunFolder, fillings: tuple[Filling, ...]) -> tuple[float, float] | None:
    if not fillings:
        return None
    first = min(float(np.nanmin(one.arrival_s)) for one in fillings)
    starts = [e["t_s"] for e in run.events_of("injection_started", "balloon_placed", "inflation")]
    ends = [e["t_s"] for e in run.events_of("injection_ended", "needle_removed", "balloon_removed")]
    last = max([*ends, *(float(np.nanmax(one.arrival_s)) for one in fillings)])
    return max(0.0, min([first, *starts]) - _BEFORE_S), last + _AFTER_S


def _captions(run: RunFolder) -> list[tuple[float, str]]:
    said = [(float(e["t_s"]), event_sentence(e)) for e in run.story()]
    return [(second, sentence) for second, sentence in said if sentence]


def cement_progress(run: RunFolder) -> tuple[tuple[float, float], ...]:
    """Return how much cement all needles together had given, (second, mL), at every event that tells it."""
    given: dict[tuple[Any, Any], float] = {}
    told = []
    for event in run.events_of("injection_started", "progress", "injection_ended"):
        key = (event.get("level"), event.get("side"))
        given[key] = float((event.get("data") or {}).get("injected_ml") or given.get(key, 0.0))
        told.append((float(event["t_s"]), sum(given.values())))
    return tuple(told)
