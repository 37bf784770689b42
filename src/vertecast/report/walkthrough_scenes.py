"""What each chapter of the walk-through shows: the case's own bones, needles and fields, moment by moment.

A scene takes the set and a share of the chapter, 0 to 1, and gives the picture. Chapters run in any order: each puts
the set as it needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vertecast.report.patient_case import PatientCase, quantity
from vertecast.report.patient_words import Catalogue
from vertecast.report.scene3d import filling_mesh
from vertecast.report.view3d import Filling, Scene3D, cement_progress
from vertecast.report.view3d_meshes import Mesh
from vertecast.report.walkthrough_chapters import millilitres, whole_by_height
from vertecast.report.walkthrough_frame import SCENE, X_RAY_PX, Pixels, clock, dashed, inset, listed, tagged
from vertecast.report.walkthrough_stage import Colour, Shot, Stage, tube_mesh

BONE: Colour = (0.92, 0.87, 0.77)
TREATED: Colour = (0.86, 0.50, 0.22)
CEMENT: Colour = (0.42, 0.68, 0.92)
HARD: Colour = (0.07, 0.20, 0.48)
BALLOON: Colour = (0.16, 0.55, 0.45)
STEEL: Colour = (0.30, 0.34, 0.38)
_NEAR_MM = 48.0
_LEAST_SPINE_MM = 75.0
_SLIDE_MM = 75.0
LEFT, BEHIND, ABOVE = np.eye(3)
_FACING = 0.75 * LEFT - BEHIND
_FILLED, _LET_GO = 0.65, 0.85
"""Shares of the balloon's chapter at which it is full, and at which it is let go."""
_SEEN_MM = 0.1
_PERSON_MM, _ASIDE_MM, _BELOW_MM = 1040.0, 760.0, 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Theatre:
    """All that a scene needs.

    Parameters
    ----------
    scene : the report's 3-D scene
    far : bones of the scan that it leaves out
    x_rays : lateral fluoroscopy stills in order of the injection
    balloon_x_rays : such stills of the balloon, before and after it is filled
    """

    stage: Stage
    case: PatientCase
    words: Catalogue
    scene: Scene3D
    far: Mapping[str, Mesh]
    x_rays: tuple[Pixels, ...]
    balloon_x_rays: tuple[Pixels, ...]

    @property
    def centre(self) -> NDArray[np.float64]:
        """Where the treated levels are; (3,), mm, LPS."""
        return self.scene.centre_lps

    @property
    def near_mm(self) -> float:
        """Half the height of a close view: more for several levels."""
        places = [bone.mesh.points_lps.mean(axis=0) for bone in self.scene.bones if bone.kind == "target"]
        spread = float(np.ptp([place @ self.scene.axes_lps[2] for place in places])) / 2 if places else 0.0
        return _NEAR_MM + spread

    def close(self, *, prone: bool) -> Shot:
        """Return the close view: from the left as the patient stands, or face down from the left and above."""
        left, posterior, superior = self.scene.axes_lps
        if prone:
            focus = self.centre + 20.0 * posterior
            return Shot(focus, left + 0.75 * posterior - 0.30 * superior, posterior, 1.1 * self.near_mm)
        return Shot(self.centre + 14.0 * posterior, left - 0.12 * posterior, superior, self.near_mm)

    def whole(self) -> Shot:
        """Return the view of all bones of the scan, from the left and in front, standing."""
        away = LEFT - 0.45 * BEHIND
        points = np.concatenate(
            [mesh.points_lps for mesh in (*(bone.mesh for bone in self.scene.bones), *self.far.values())]
        )
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        return Shot(middle, away, ABOVE, max(_LEAST_SPINE_MM, 0.56 * float(np.ptp(points[:, 2]))))

    def set_bones(self, treated: float, others: float) -> None:
        """Show the bones with these opacities; 0 hides."""
        for name in self.stage.names("bone/"):
            own = name.startswith("bone/target/")
            opacity = treated if own else others
            self.stage.show(name, opacity > 0.02)
            self.stage.paint(name, TREATED if own else BONE, opacity)

    def settle(self, second: float) -> None:
        """Put the bones where they lie at a moment: as on the CT before a tool lifts, as lifted after it."""
        for bone in self.scene.bones:
            if bone.motion is not None and bone.kind != "canal":
                own = bone.kind == "target" or bone.name in self.case.levels
                at = float(np.clip(second, bone.motion.seconds[0], bone.motion.seconds[-1]))
                colour = TREATED if own else BONE
                self.stage.put_version(bone_name(bone.name, own=own), at, partial(bone.at, at), colour)

    def set_body(self, which: str, opacity: float) -> None:
        """Show one of the drawn bodies, ``standing`` or ``prone``, and the table and C-arm with the latter."""
        for name in ("standing", "prone"):
            self.stage.show(f"body/{name}", name == which and opacity > 0.02)
        if opacity > 0.02 and which:
            self.stage.paint(f"body/{which}", (0.80, 0.62, 0.52), opacity)
        room = which == "prone" and opacity > 0.2
        self.stage.show("room/", room)

    def set_needles(self, out_mm: float | None) -> None:
        """Show the needles, drawn back by so much; ``None`` hides them."""
        for needle in self.scene.needles:
            name = f"needle/{needle.name}"
            self.stage.show(name, out_mm is not None)
            along = needle.outer_lps - needle.tip_lps
            self.stage.move(name, (out_mm or 0.0) * along / np.linalg.norm(along))

    def fill(self, kind: str, second: float, colour: Colour, *, removed: bool = False) -> None:
        """Show the fillings of a kind as they were at a moment."""
        for filling in self.fillings(kind):
            # After its last voxel a filling changes no more.
            at = -np.inf if removed else min(second, float(np.nanmax(filling.arrival_s)))
            self.stage.put_version(f"filling/{filling.name}", at, partial(_filled, filling, at), colour)

    def fillings(self, kind: str) -> tuple[Filling, ...]:
        """Return the fillings of a kind."""
        return tuple(one for one in self.scene.fillings if one.kind == kind)

    def empty(self) -> None:
        """Hide every filling."""
        self.stage.show("filling/", False)


def spine(theatre: Theatre, share: float) -> Pixels:
    """Show the bones of the scan in a standing person, coming nearer."""
    theatre.empty()
    theatre.settle(-np.inf)
    theatre.set_needles(None)
    theatre.set_bones(1.0, 1.0)
    theatre.set_body("standing", 0.34 * (1.0 - _eased(share, 0.2, 0.6)))
    far = Shot(theatre.centre - _BELOW_MM * ABOVE, _FACING, ABOVE, _PERSON_MM)
    return theatre.stage.picture(far.towards(theatre.whole(), _clipped(share / 0.85)))


def fracture(theatre: Theatre, share: float) -> Pixels:
    """Come close to the broken bone; then draw the height it should have."""
    theatre.empty()
    theatre.settle(-np.inf)
    theatre.set_needles(None)
    theatre.set_body("", 0.0)
    theatre.set_bones(1.0, 1.0)
    shot = theatre.whole().towards(theatre.close(prone=False), _clipped(share / 0.5))
    picture = theatre.stage.picture(shot)
    if share < 0.55:
        return picture
    for name in () if whole_by_height(theatre.case) else theatre.case.levels:
        line = expected_endplate(theatre.case, name)
        if line is not None:
            longer = line + 0.15 * np.array([line[0] - line[1], line[1] - line[0]])
            picture = dashed(picture, [shot.pixel(point, SCENE) for point in longer])
    _, posterior, _ = theatre.scene.axes_lps
    for word, away in (("front", -38.0), ("back", 62.0)):
        x, _ = shot.pixel(theatre.centre + away * posterior, SCENE)
        picture = tagged(picture, (x, SCENE[1] - 42.0), theatre.words.say(f"fracture.{word}"))
    return picture


def face_down(theatre: Theatre, share: float) -> Pixels:
    """Show the person face down on the table, the C-arm round them."""
    theatre.empty()
    theatre.settle(-np.inf)
    theatre.set_needles(None)
    theatre.set_bones(1.0, 1.0)
    theatre.set_body("prone", 0.42)
    start = Shot(theatre.centre - 80.0 * ABOVE, LEFT + 0.75 * BEHIND - 0.8 * ABOVE, BEHIND, 760.0)
    return theatre.stage.picture(start.towards(_bedside(theatre), share))


def needle(theatre: Theatre, share: float) -> Pixels:
    """Come close to the prone patient; then the needles slide along their planned path."""
    theatre.empty()
    theatre.settle(-np.inf)
    near = _eased(share, 0.0, 0.4)
    theatre.set_body("prone", 0.42 * (1.0 - near))
    theatre.set_bones(1.0 - 0.74 * _eased(share, 0.45, 0.75), 1.0 - 0.84 * near)
    theatre.set_needles(_SLIDE_MM * (1.0 - _eased(share, 0.4, 0.95)) if share > 0.3 else None)
    return theatre.stage.picture(_bedside(theatre).towards(theatre.close(prone=True), near))


def balloon(theatre: Theatre, share: float) -> Pixels:
    """Fill the balloon and lift the bone as the simulation did; at the end the balloon is out again."""
    course = _balloon_course(theatre)
    _inside(theatre, needles=True, second=-np.inf if course is None else float(np.interp(share, *course)))
    if course is not None:
        theatre.fill("balloon", float(np.interp(share, *course)), BALLOON, removed=share > _LET_GO)
    picture = theatre.stage.picture(theatre.close(prone=True))
    lifted = theatre.case.lifted_mm()
    if lifted is not None and share > _FILLED and lifted[0] >= _SEEN_MM:
        shown = lifted[0] if share <= _LET_GO else lifted[1]
        text = theatre.words.say("ui.lifted", mm=f"{shown:.1f}")
        picture = tagged(picture, (210.0, SCENE[1] - 50.0), text)
    if theatre.balloon_x_rays:
        index = _balloon_still(share, len(theatre.balloon_x_rays))
        picture = inset(picture, theatre.balloon_x_rays[index], theatre.words.say("ui.xray"))
    return picture


def _balloon_still(share: float, count: int) -> int:
    """Return which of the stills, before, filled and out again, belongs to a moment of the balloon's chapter."""
    if share < _FILLED:
        return 0
    return min(1 if share <= _LET_GO else 2, count - 1)


def _balloon_course(theatre: Theatre) -> tuple[list[float], list[float]] | None:
    """Return shares of the chapter and the seconds shown then: filling, a rest, letting go; None without a course."""
    known = theatre.fillings("balloon")
    motions = [bone.motion for bone in theatre.scene.bones if bone.motion is not None]
    if not known and not motions:
        return None
    ends = [one.seconds for one in motions]
    first = min([float(one[0]) for one in ends] + ([_times(known)[0]] if known else []))
    full = max([float(one[-2]) for one in ends] + ([_times(known)[1]] if known else []))
    last = max([float(one[-1]) for one in ends] + [full])
    return [0.0, _FILLED, _LET_GO, 1.0], [first, full, full, last]


def cement(theatre: Theatre, share: float) -> Pixels:
    """Let the cement flow as the simulation did, with how much is in and the X-ray of that moment."""
    _inside(theatre, needles=True)
    known = theatre.fillings("cement")
    if known:
        first, last = _times(known)
        moments = cement_progress(theatre.case.run)
        part = _clipped(share / 0.9)
        # Even in volume, not in time: the pause between two needles is not shown.
        second = (
            float(np.interp(part * moments[-1][1], *_by_volume(moments))) if moments else first + part * (last - first)
        )
        theatre.fill("cement", max(second, first), CEMENT)
    picture = theatre.stage.picture(theatre.close(prone=True))
    injected = theatre.case.injected_ml()
    if known and injected is not None:
        text = theatre.words.say("ui.millilitres", ml=millilitres(part * injected))
        picture = tagged(picture, (190.0, SCENE[1] - 50.0), text)
    if theatre.x_rays:
        index = min(int(_clipped(share / 0.9) * (len(theatre.x_rays) - 1) + 1e-6), len(theatre.x_rays) - 1)
        picture = inset(picture, theatre.x_rays[index], theatre.words.say("ui.xray"))
    return picture


def hardening(theatre: Theatre, share: float) -> Pixels:
    """Let the cement darken as it gets hard, beside a clock from the mixing on."""
    _inside(theatre, needles=False)
    theatre.fill("cement", np.inf, CEMENT)
    start, end = _cure_seconds(theatre.case)
    known = end is not None
    part = _clipped(share / 0.9)
    second = start + part * ((end or start) - start)
    hard = _hard_share(theatre.case, second) if known else 1.0
    for name in theatre.stage.names("filling/"):
        mixed = [(1 - hard) * a + hard * b for a, b in zip(CEMENT, HARD, strict=True)]
        theatre.stage.paint(name, (mixed[0], mixed[1], mixed[2]))
    picture = theatre.stage.picture(theatre.close(prone=True))
    if not known:
        return picture
    texts = (
        theatre.words.say("chapter.hardening.clock", minute=round(second / 60)),
        theatre.words.say("chapter.hardening.clock_more"),
        theatre.words.say("chapter.hardening.hard_share", tenths=_tenths(hard, done=second >= (end or np.inf))),
    )
    return clock(picture, second / 60.0, texts)


def home(theatre: Theatre, share: float) -> Pixels:
    """Step back to the standing person, the cement in place."""
    _inside(theatre, needles=False)
    theatre.fill("cement", np.inf, HARD)
    away = _eased(share, 0.2, 0.8)
    theatre.set_bones(0.26, 0.16 + 0.84 * away)
    theatre.set_body("standing", 0.34 * away)
    # The person stands to the left, so that the list has room.
    aside = np.cross(ABOVE, _FACING) / np.linalg.norm(_FACING)
    far = Shot(theatre.centre - _BELOW_MM * ABOVE + _ASIDE_MM * aside, _FACING, ABOVE, _PERSON_MM)
    picture = theatre.stage.picture(theatre.whole().towards(far, _clipped((share - 0.2) / 0.7)))
    return listed(picture, _next_days(theatre)) if share > 0.5 else picture


SCENES: dict[str, tuple[Callable[[Theatre, float], Pixels], int]] = {
    "spine": (spine, 44),
    "fracture": (fracture, 34),
    "face_down": (face_down, 44),
    "needle": (needle, 44),
    "balloon": (balloon, 50),
    "cement": (cement, 44),
    "hardening": (hardening, 40),
    "home": (home, 44),
}
"""Each chapter's scene, and how many different pictures its movement has."""


def _filled(filling: Filling, second: float) -> Mesh | None:
    return None if second == -np.inf else filling_mesh(filling, second)


def expected_endplate(case: PatientCase, level: str) -> NDArray[np.float64] | None:
    """Return where the upper endplate's front and back corner should be; (2, 3), mm, LPS, or None when unknown.

    The heights of the reference stand on the measured lower corners, along the measured height.
    """
    vertebra = case.run.vertebra(level)
    heights = vertebra.get("reference_heights_mm") or {}
    points = (vertebra.get("six_points_lps_mm") or {}).get("middle") or {}
    corners = []
    for place in ("anterior", "posterior"):
        expected = quantity(heights.get(place))
        ends = [(points.get(plate) or {}).get(place) for plate in ("inferior", "superior")]
        if expected is None or ends[0] is None or ends[1] is None:
            return None
        low, high = (np.array(end, float) for end in ends)
        corners.append(low + expected.value * (high - low) / np.linalg.norm(high - low))
    return np.array(corners)


def bone_name(name: str, *, own: bool) -> str:
    """Return the name under which a bone is on the stage."""
    return f"bone/{'target' if own else 'other'}/{name}"


def furnish(
    stage: Stage, scene: Scene3D, case: PatientCase, far: Mapping[str, Mesh], bodies: Mapping[str, Mesh]
) -> None:
    """Put everything on the stage that stays: bones, more bones of the scan, needles, drawn bodies and the room."""
    known = {bone.name: bone.mesh for bone in scene.bones if bone.kind != "canal"}
    targets = {bone.name for bone in scene.bones if bone.kind == "target"} | set(case.levels)
    for name, mesh in (known | dict(far)).items():
        own = name in targets
        stage.put(bone_name(name, own=own), mesh, TREATED if own else BONE)
    for needle_ in scene.needles:
        stage.put(f"needle/{needle_.name}", tube_mesh(needle_.outer_lps, needle_.tip_lps, needle_.radius_mm), STEEL)
    for name, mesh in bodies.items():
        shade = {"room/table": (0.36, 0.42, 0.48)}.get(name, (0.78, 0.81, 0.84))
        stage.put(name, mesh, shade, 0.34 if name.startswith("body/") else 1.0)


def read_x_rays(case: PatientCase, stems: tuple[str, ...] = ("lateral_[0-9]",)) -> tuple[Pixels, ...]:
    """Return lateral stills of the first level that has them, cut to squares as they are shown; each stem's by name."""
    from PIL import Image

    for level in case.levels:
        files = tuple(file for stem in stems for file in case.run.pictures("fluoro", f"{level}_{stem}"))
        if files:
            return tuple(_square(np.asarray(Image.open(file).convert("RGB"))) for file in files)
    return ()


def _square(picture: Pixels) -> Pixels:
    from PIL import Image

    side = int(0.66 * min(picture.shape[:2]))
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    cut = Image.fromarray(picture).crop((left, top, left + side, top + side))
    return np.asarray(cut.resize((X_RAY_PX, X_RAY_PX), Image.Resampling.LANCZOS))


def _inside(theatre: Theatre, *, needles: bool, second: float = np.inf) -> None:
    theatre.empty()
    theatre.settle(second)
    theatre.set_body("", 0.0)
    theatre.set_bones(0.26, 0.16)
    theatre.set_needles(0.0 if needles else None)


def _bedside(theatre: Theatre) -> Shot:
    return Shot(theatre.centre - 40.0 * ABOVE, LEFT + 0.35 * BEHIND - 0.25 * ABOVE, BEHIND, 560.0)


def _times(fillings: tuple[Filling, ...]) -> tuple[float, float]:
    return (
        min(float(np.nanmin(one.arrival_s)) for one in fillings),
        max(float(np.nanmax(one.arrival_s)) for one in fillings),
    )


def _by_volume(moments: tuple[tuple[float, float], ...]) -> tuple[list[float], list[float]]:
    """Return volume and second, the volume growing all the time, as interpolation asks."""
    volumes, seconds = [moments[0][1]], [moments[0][0]]
    for second, volume in moments[1:]:
        if volume > volumes[-1]:
            volumes.append(volume)
            seconds.append(second)
    return volumes, seconds


def _cure_seconds(case: PatientCase) -> tuple[float, float | None]:
    """Return when the injection ended and when the cement was hard, seconds since it was mixed, the slowest level's.

    Each level's cement counts from its own mixing.
    """

    def since(*kinds: str) -> list[float]:
        return [float(e["t_s"]) - case.mixed_s(str(e.get("level"))) for e in case.run.events_of(*kinds)]

    ends, hard = since("injection_ended", "cure_started"), since("hard")
    if not ends or not hard:
        return 0.0, None
    return min(max(ends), max(hard)), max(hard)


def _hard_share(case: PatientCase, second: float) -> float:
    """Return the share of the cement that is hard at a moment after mixing, of what counts as hard in the events."""
    events = case.run.events_of("hard")
    enough = max((float((e.get("data") or {}).get("share_percent", 100.0)) / 100 for e in events), default=1.0)
    done = total = 0.0
    for level in case.levels:
        # The field counts from the level's first cement.
        mixed = case.mixed_s(level)
        first = min((float(e["t_s"]) for e in case.run.events_of("injection_started", level=level)), default=mixed)
        hard, amount = case.run.field(level, "hard_s"), case.run.field(level, "cement_fraction")
        if hard is None or amount is None or hard[0].shape != amount[0].shape:
            continue
        total += float(amount[0].sum())
        done += float(amount[0][np.nan_to_num(hard[0], nan=np.inf) <= second + mixed - first].sum())
    return min(1.0, done / (enough * total)) if total else 0.0


def _tenths(share: float, *, done: bool) -> int:
    """Return the hard parts of ten: all ten not before the moment at which the events call the cement hard."""
    return 10 if done else min(9, int(10 * share + 1e-6))


def _next_days(theatre: Theatre) -> tuple[str, ...]:
    """Return the course of care in a few words."""
    words, lines = theatre.words, []
    flat = theatre.case.care("lie_flat")
    if flat:
        lines.append(words.say("recovery.lie_flat_one", low=f"{flat[0]['low']:g}"))
    weeks = theatre.case.care("follow_up")
    if weeks:
        lines.append(words.say("recovery.follow_up", low=f"{weeks[0]['low']:g}", high=f"{weeks[0]['high']:g}"))
    return (*lines, words.say("chapter.home.bones"))


def _clipped(share: float) -> float:
    return float(min(max(share, 0.0), 1.0))


def _eased(share: float, start: float, end: float) -> float:
    s = _clipped((share - start) / (end - start))
    return s * s * (3.0 - 2.0 * s)
