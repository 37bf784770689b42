"""Measure every labelled vertebra of a CT, or of its labels alone."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import ParameterUse, load_parameters
from vertecast.core.quantities import Measured
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.angles import bisegmental_kyphosis, regional_angles
from vertecast.spine.density import HuCalibration
from vertecast.spine.details import VertebraDetails, detail_uses, measure_details, measure_wall
from vertecast.spine.endplates import Side
from vertecast.spine.genant import Genant, GenantCuts, grade_loss
from vertecast.spine.geometry import WITHOUT_BODY, Settings, VertebraGeometry, measure_geometry
from vertecast.spine.heights import Place
from vertecast.spine.integrity import Piece, cut_pieces
from vertecast.spine.measurement import MeasuredVertebra, SpineMeasurement
from vertecast.spine.normals import LevelNormals
from vertecast.spine.of_class import OfLimits, classify_of
from vertecast.spine.orientation import canonical_labels, canonical_volume, index_between
from vertecast.spine.reference import (
    HeightLoss,
    LevelHeights,
    ReferenceKind,
    ReferenceSettings,
    height_losses,
)

__all__ = ["LevelShape", "SpineMeasurement", "measure_shape", "measure_spine"]

_AT_ONCE = 2  # vertebrae; NumPy and SciPy let go of the interpreter for about half of the work

_NAMED = {
    Level.T13: "T13 is present: a thoracolumbar transitional vertebra, named and not renumbered",
    Level.L6: "L6 is present: a lumbosacral transitional vertebra, named and not renumbered",
}


@dataclass(frozen=True, eq=False)
class _Rules:
    normals: LevelNormals
    reference: ReferenceSettings
    genant: GenantCuts
    of_limits: OfLimits
    uses: tuple[ParameterUse, ...]

    @classmethod
    def shipped(cls) -> "_Rules":
        normals = load_parameters("spine/normals.toml", LevelNormals)
        reference = load_parameters("spine/reference.toml", ReferenceSettings)
        genant = load_parameters("spine/genant.toml", GenantCuts)
        of_limits = load_parameters("spine/of_class.toml", OfLimits)
        uses = normals.uses + reference.uses + genant.uses + of_limits.uses
        return cls(normals.values, reference.values, genant.values, of_limits.values, uses)


@dataclass(frozen=True, eq=False)
class _Found:
    """One level after the first pass, that looks at it alone."""

    piece: Piece
    geometry: VertebraGeometry | None
    reason: str | None
    details: VertebraDetails

    @property
    def height_reason(self) -> str | None:
        """Why its heights cannot be given, if so."""
        if self.geometry is None:
            return self.reason
        if self.piece.level in WITHOUT_BODY:
            return WITHOUT_BODY[self.piece.level]
        if self.piece.level is Level.S1:
            return "S1 is part of the sacrum; its superior endplate alone serves for angles"
        if self.geometry.cut_faces:
            return f"the body is cut by the image border ({', '.join(self.geometry.cut_faces)})"
        return None


@dataclass(frozen=True, slots=True, eq=False)
class LevelShape:
    """Heights and wedge of one level by itself; ``reason`` says why it could not be measured."""

    heights_mm: Mapping[Place, Measured]
    wedge_angle_deg: Measured
    reason: str | None


def measure_shape(labels: LabelMap, level: Level) -> LevelShape:
    """Measure heights and wedge of one level as :func:`measure_spine` does from labels, and nothing else of it.

    Raises
    ------
    GeometryError
        If the labels do not hold the level.
    """
    settings = Settings.shipped()
    pieces = cut_pieces(canonical_labels(labels), settings.integrity)
    if level not in pieces:
        raise GeometryError(f"{level} is not in the labels ({', '.join(map(str, pieces))})")
    one = _look_at(pieces[level], _axis(pieces, level), None, None, settings, details=False)
    heights, wedge = _heights_and_wedge(one)
    return LevelShape(heights, wedge, one.reason)


def measure_spine(
    labels: LabelMap,
    volume: Volume | None = None,
    *,
    calibration: HuCalibration | None = None,
    prior: SpineMeasurement | None = None,
    observer: Observer = SILENT,
    details: bool = True,
) -> SpineMeasurement:
    """Measure every labelled vertebra.

    Parameters
    ----------
    labels : in any of the 48 axis orders; the result does not depend on it
    volume : the CT on the labels' grid; without it geometry is measured and density stays unknown
    calibration : turns HU into mg/mm³ K2HPO4-equivalent; without it density in mg/cm³ stays unknown
    prior : the same patient measured on an earlier CT; the best reference for height loss
    observer : told which level is being measured
    details : whether density, clefts, canal and pedicles are measured too; a ``prior`` needs the shape alone

    Raises
    ------
    InputError
        If CT and labels lie on different grids.
    GeometryError
        If not one label is a vertebra with a body.
    """
    if volume is not None and not labels.grid.same_as(volume.grid):
        raise InputError(
            f"labels of shape {labels.grid.shape} lie on another grid than the CT of shape {volume.grid.shape}; "
            "resample the labels to the CT"
        )
    settings, rules = Settings.shipped(), _Rules.shipped()
    ct = None if volume is None else canonical_volume(volume)
    pieces = cut_pieces(canonical_labels(labels), settings.integrity)
    found = _looked_at(pieces, (ct, calibration), settings, observer, details=details)
    if all(one.geometry is None for one in found.values()):
        reasons = "; ".join(f"{level}: {one.reason}" for level, one in found.items())
        raise GeometryError(f"no label could be measured as a vertebra ({reasons}); check the labels and their dialect")
    return _joined(found, prior, rules, settings.uses + rules.uses + detail_uses(), observer)


def _looked_at(
    pieces: Mapping[Level, Piece],
    seen: tuple[Volume | None, HuCalibration | None],
    settings: Settings,
    observer: Observer,
    *,
    details: bool,
) -> dict[Level, _Found]:
    """First pass, two vertebrae at a time: each is measured by itself, so the result knows nothing of the order."""
    observer.begin("Measuring vertebrae", len(pieces))
    found = {}
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        waiting = {
            level: pool.submit(_look_at, piece, _axis(pieces, level), *seen, settings, details=details)
            for level, piece in pieces.items()
        }
        for level, one in waiting.items():
            if observer.cancelled():
                raise InputError("the measurement was cancelled; nothing was written")
            found[level] = one.result()
            observer.advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _axis(pieces: Mapping[Level, Piece], level: Level) -> NDArray[np.float64]:
    """(3,), unit, superior: along the line of centroids, or the image's superior for a vertebra on its own."""
    levels = list(pieces)
    at = levels.index(level)
    above, below = pieces[levels[max(at - 1, 0)]], pieces[levels[min(at + 1, len(levels) - 1)]]
    apart = index_between(below.grid, above.grid) + _middle(above) - _middle(below)
    along = below.grid.lps_from_voxel.apply_directions(apart)
    length = float(np.linalg.norm(along))
    return np.asarray(along / length if length > 5.0 else below.grid.directions[:, 2])


def _middle(piece: Piece) -> NDArray[np.float64]:
    """(3,): centroid of the vertebra in its own voxels, where it owes nothing to the image's pose."""
    return np.asarray(np.argwhere(piece.mask).mean(axis=0))


def _look_at(
    piece: Piece,
    axis_lps: NDArray[np.float64],
    volume: Volume | None,
    calibration: HuCalibration | None,
    settings: Settings,
    *,
    details: bool = True,
) -> _Found:
    level = piece.level
    if level is Level.C1:
        return _Found(piece, None, WITHOUT_BODY[level], VertebraDetails.unknown(WITHOUT_BODY[level]))
    try:
        geometry = measure_geometry(piece, axis_lps, settings, volume)
    except (GeometryError, np.linalg.LinAlgError) as exc:
        reason = str(exc) if isinstance(exc, GeometryError) else f"the label of {level} has no measurable shape"
        return _Found(piece, None, reason, VertebraDetails.unknown(reason))
    if not details:
        return _Found(piece, geometry, None, VertebraDetails.unknown("not asked for"))
    return _Found(piece, geometry, None, measure_details(geometry.anatomy, volume, calibration))


def _joined(
    found: Mapping[Level, _Found],
    prior: SpineMeasurement | None,
    rules: _Rules,
    uses: tuple[ParameterUse, ...],
    observer: Observer,
) -> SpineMeasurement:
    """Second pass: what needs the neighbours or the earlier CT."""
    heights = {level: _level_heights(one) for level, one in found.items() if one.height_reason is None}
    earlier = _prior_heights(prior)
    losses = height_losses(heights, earlier, rules.normals, rules.reference)
    tilts = {level: one.geometry.tilt for level, one in found.items() if one.geometry and not _is_cut(one)}
    vertebrae = []
    for level, one in found.items():
        loss = losses.get(level) or _no_loss(one.height_reason or "not measured")
        angle = bisegmental_kyphosis(tilts, level) if level in tilts else Measured.unknown(f"{level} is not measured")
        vertebrae.append(_vertebra(one, found, loss, angle, prior, rules))
    warnings = [_NAMED[level] for level in found if level in _NAMED]
    warnings += [note for vertebra in vertebrae for note in vertebra.notes]
    warnings += [f"{v.level}: {v.reason}" for v in vertebrae if v.reason is not None]
    for sentence in warnings:
        observer.warn(sentence)
    return SpineMeasurement(
        tuple(vertebrae), regional_angles(tilts), _stature(vertebrae), tuple(dict.fromkeys(warnings)), uses
    )


def _is_cut(one: _Found) -> bool:
    return one.geometry is not None and bool(one.geometry.cut_faces)


def _level_heights(one: _Found) -> LevelHeights:
    assert one.geometry is not None
    section = one.geometry.six.middle
    usable = not (one.details.density.is_cemented or one.piece.level in WITHOUT_BODY)
    return LevelHeights(section.heights, section.deviations, one.geometry.six.depth, usable)


def _prior_heights(prior: SpineMeasurement | None) -> dict[Level, LevelHeights]:
    if prior is None:
        return {}
    return {
        v.level: LevelHeights(
            v.geometry.six.middle.heights, v.geometry.six.middle.deviations, v.geometry.six.depth, True
        )
        for v in prior.vertebrae
        if v.geometry is not None and v.heights_mm[Place.MIDDLE].value is not None
    }


def _no_loss(reason: str) -> HeightLoss:
    nothing = {place: Measured.unknown(reason) for place in Place}
    return HeightLoss(None, (), "none", nothing, nothing, nothing)


def _vertebra(
    one: _Found,
    found: Mapping[Level, _Found],
    loss: HeightLoss,
    bisegmental: Measured,
    prior: SpineMeasurement | None,
    rules: _Rules,
) -> MeasuredVertebra:
    level, geometry, reason = one.piece.level, one.geometry, one.height_reason
    references = _references(loss, found, prior, level)
    excess = _dent_excess(geometry, references, reason)
    dented = tuple(side for side in Side if (excess[side].value or 0.0) >= rules.genant.dent_from)
    details = one.details
    if geometry is not None and details.reason is None:
        details = details.with_wall(measure_wall(geometry.anatomy, [r.anatomy for r in references]))
    genant = Genant(None, None, False, reason) if reason else grade_loss(loss, bool(dented), rules.genant)
    share = details.wall.canal_share if details.wall else Measured.unknown("posterior wall not measured")
    heights, wedge = _heights_and_wedge(one)
    return MeasuredVertebra(
        level,
        geometry,
        one.reason,
        heights,
        wedge,
        _less_normal(wedge, rules.normals.wedge(level)),
        bisegmental,
        loss,
        excess,
        genant,
        classify_of(genant, loss, dented, share, rules.of_limits),
        details.with_age(None if genant.grade is None else genant.grade >= 1.0),
        _flags(one),
        one.piece.notes,
    )


def _heights_and_wedge(one: _Found) -> tuple[dict[Place, Measured], Measured]:
    if one.geometry is None or one.height_reason is not None:
        unknown = Measured.unknown(one.height_reason or "not measured")
        return dict.fromkeys(Place, unknown), unknown
    return {place: one.geometry.six.middle.height(place) for place in Place}, one.geometry.wedge


def _references(
    loss: HeightLoss, found: Mapping[Level, _Found], prior: SpineMeasurement | None, level: Level
) -> list[VertebraGeometry]:
    if loss.kind is ReferenceKind.PRIOR and prior is not None:
        earlier = prior[level].geometry
        return [earlier] if earlier is not None else []
    return [g for g in (found[other].geometry for other in loss.levels) if g is not None]


def _dent_excess(
    geometry: VertebraGeometry | None, references: list[VertebraGeometry], reason: str | None
) -> dict[Side, Measured]:
    if geometry is None or reason is not None or not references:
        return dict.fromkeys(Side, Measured.unknown(reason or "no reference level to compare the endplates with"))
    result = {}
    for side in Side:
        own = geometry.depth_maps[side].deepest_mm
        usual = float(np.mean([r.depth_maps[side].deepest_mm.value or 0.0 for r in references]))
        error = 0.0 if own.value is None or own.high is None else own.high - own.value
        half = float(error * np.sqrt(1.0 + 1.0 / len(references)))
        method = "greatest depth below the rim, less that of the reference levels' same endplate"
        result[side] = Measured.with_error((own.value or 0.0) - usual, half, method)
    return result


def _less_normal(wedge: Measured, normal: Measured) -> Measured:
    if wedge.value is None or normal.value is None:
        return wedge if wedge.value is None else normal
    assert wedge.high is not None
    assert normal.high is not None
    half = float(np.hypot(wedge.high - wedge.value, normal.high - normal.value))
    return Measured.with_error(wedge.value - normal.value, half, f"wedge less the level's normal ({normal.method})")


def _flags(one: _Found) -> tuple[str, ...]:
    flags = list(one.geometry.flags) if one.geometry else ["not_measured"]
    if one.details.density.is_cemented:
        flags.append("cemented")
    if one.details.density.is_sclerotic:
        flags.append("sclerotic")
    if one.piece.open_faces and "cut_by_border" not in flags:
        flags.append("arch_cut_by_border")
    if one.piece.level in _NAMED:
        flags.append("transitional")
    if one.piece.notes:
        flags.append("label_suspect")
    return tuple(flags)


def _stature(vertebrae: list[MeasuredVertebra]) -> Measured:
    """Sum over the fractured levels of the height lost, the mean of front, middle and back."""
    known = [v for v in vertebrae if v.genant.grade is not None]
    if not known:
        return Measured.unknown("no level has a reference to count lost height from")
    total, variance = 0.0, 0.0
    for vertebra in known:
        if vertebra.genant.grade:
            lost = list(vertebra.loss.lost_mm.values())
            total += float(np.mean([max(one.value or 0.0, 0.0) for one in lost]))
            variance += float(np.mean([((one.high or 0.0) - (one.value or 0.0)) ** 2 for one in lost]))
    method = f"mean height lost, summed over the fractured of {len(known)} levels that have a reference"
    return Measured.with_error(total, float(np.sqrt(variance)), method)
