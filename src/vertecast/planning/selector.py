"""Which procedure fits: vertebroplasty, kyphoplasty, another cavity tool, or none; with the reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vertecast.core.parameters import ParameterUse, load_parameters
from vertecast.core.quantities import Measured, quantity
from vertecast.devices.access import Tube
from vertecast.devices.catalogue import Catalogue
from vertecast.devices.cavity import Balloon, CavityTool
from vertecast.planning.indication import Indication
from vertecast.planning.rules.evaluation import evaluate
from vertecast.planning.rules.facts import Facts, Value, measured_from_json
from vertecast.planning.rules.grammar import parse
from vertecast.planning.rules.logic import Truth
from vertecast.planning.rules.packs import Role, Stance, load_pack
from vertecast.planning.rules.verdicts import Verdict, judge

COMPLICATIONS = ("tension_band_failure", "focal_lesion", "vertebra_plana", "cortical_breach", "contrast_allergy")
"""Facts that turn the choice away from the usual one."""


class Procedure(Enum):
    """What may be done at a level."""

    VERTEBROPLASTY = "vertebroplasty"
    KYPHOPLASTY = "kyphoplasty"
    OTHER_CAVITY_TOOL = "other_cavity_tool"
    NO_OPERATION = "no_operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionMargins:
    """Room that a tool needs around it."""

    pedicle_margin: float = quantity("mm", "bone left on each side of a tube in the pedicle")
    endplate_margin: float = quantity("mm", "bone left between a balloon and the endplates and front wall")
    posterior_part: float = quantity("1", "part of the body's depth, from behind, that the balloon keeps clear of")


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """One cavity tool: does it fit, and what speaks for or against it here."""

    name: str
    kind: str
    fits: Truth
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The proposal.

    Parameters
    ----------
    procedure : ``None`` when it cannot be decided; then ``verdict`` says what is missing
    if_operated : what would be chosen when the indication is left aside and nothing of ``provided`` holds
    provided : complicating facts the record is silent on, which ``if_operated`` takes as absent
    tools : every cavity tool, the fitting ones first
    """

    procedure: Procedure | None
    if_operated: Procedure | None
    provided: tuple[str, ...]
    verdict: Verdict
    tools: tuple[ToolChoice, ...]
    uses: tuple[ParameterUse, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``indication.json``."""
        return {
            "procedure": self.procedure.value if self.procedure else None,
            "if_operated": self.if_operated.value if self.if_operated else None,
            "provided_not": list(self.provided),
            "reasons": self.verdict.as_json(),
            "tools": [
                {"name": t.name, "kind": t.kind, "fits": t.fits.value, "reasons": list(t.reasons)} for t in self.tools
            ],
        }


def select(
    indication: Indication,
    vertebra: Mapping[str, Any] | None,
    *,
    cannula: Tube,
    balloon: Balloon,
    devices: Catalogue,
) -> Selection:
    """Propose the procedure of one level.

    Parameters
    ----------
    vertebra : the level's entry of ``spine.json``: pedicle widths and heights
    cannula, balloon : what a kyphoplasty would use
    """
    loaded = load_parameters("rules/selection_margins.toml", SelectionMargins)
    margins = loaded.values
    widest, reason = widest_pedicle(vertebra)
    facts = _with_stances(indication.facts, indication).with_values(
        {
            "pedicle_clearance_mm": _less(widest, cannula.outer_diameter + 2 * margins.pedicle_margin),
            "height_clearance_mm": _less(
                lowest_height(vertebra), balloon.deflated_diameter + 2 * margins.pedicle_margin
            ),
        }
    )
    pack = load_pack("selection")
    verdict = judge(pack, facts)
    silent = tuple(name for name in COMPLICATIONS if name not in facts.values)
    aside = {"contraindicated": False, "opposed": False, "supported": True}
    allowed = facts.with_values({**dict.fromkeys(silent, False), **aside})
    return Selection(
        procedure=_procedure(verdict),
        if_operated=_procedure(judge(pack, allowed)),
        provided=silent,
        verdict=verdict,
        tools=rank_tools(devices, widest, facts, no_width=reason),
        uses=loaded.uses,
    )


def widest_pedicle(vertebra: Mapping[str, Any] | None) -> tuple[Measured, str]:
    """Return the wider isthmus of the two sides, mm, and why there is none."""
    sides = (vertebra or {}).get("pedicles") or {}
    widths = [
        measured_from_json(side["width_mm"], "pedicles.width_mm")
        for side in sides.values()
        if isinstance(side, Mapping) and side.get("width_mm") is not None
    ]
    known = [w for w in widths if w.value is not None]
    if not known:
        reason = next((str(w.reason) for w in widths), "no pedicle was measured")
        return Measured.unknown(reason), reason
    return max(known, key=lambda w: w.value or 0.0), ""


def lowest_height(vertebra: Mapping[str, Any] | None) -> Measured:
    """Return the smallest of the anterior and middle heights, mm, where a balloon would lie."""
    heights = (vertebra or {}).get("heights_mm") or {}
    found = [measured_from_json(heights[k], f"heights_mm.{k}") for k in ("anterior", "middle") if k in heights]
    known = [h for h in found if h.value is not None]
    if not known or len(known) < len(found):
        return Measured.unknown("anterior or middle height was not measured")
    return min(known, key=lambda h: h.value or 0.0)


def rank_tools(devices: Catalogue, widest: Measured, facts: Facts, *, no_width: str) -> tuple[ToolChoice, ...]:
    """Judge every cavity tool by its way in and by what it does; the fitting and the wanted ones come first."""
    breach = evaluate(parse("cortical_breach"), facts, {}).truth
    deformed = evaluate(parse("kyphotic_deformity or height_loss_percent >= 20"), facts, {}).truth
    ranked = []
    for name, loaded in devices.cavity_tools.items():
        tool = loaded.values
        fits, why = _passes(tool, widest, no_width)
        wanted = [
            sentence
            for holds, sentence in (
                (tool.contains_cement and breach is Truth.TRUE, "holds the cement where the cortex is broken"),
                (
                    tool.force == "craniocaudal" and deformed is Truth.TRUE,
                    "pushes along the spine, where height is lost",
                ),
                (tool.stays and deformed is Truth.TRUE, "stays, so less height is lost at deflation"),
            )
            if holds
        ]
        ranked.append((ToolChoice(name, tool.kind, fits, (why, *wanted)), len(wanted)))
    order = {Truth.TRUE: 0, Truth.BORDERLINE: 1, Truth.UNKNOWN: 2, Truth.FALSE: 3}
    ranked.sort(key=lambda pair: (order[pair[0].fits], -pair[1], pair[0].name))
    return tuple(choice for choice, _ in ranked)


def _passes(tool: CavityTool, widest: Measured, no_width: str) -> tuple[Truth, str]:
    if widest.value is None:
        return Truth.UNKNOWN, f"pedicle width unknown: {no_width}"
    low = widest.value if widest.low is None else widest.low
    high = widest.value if widest.high is None else widest.high
    need = tool.least_pedicle
    fits = Truth.TRUE if low >= need else Truth.FALSE if high < need else Truth.BORDERLINE
    return fits, f"needs a pedicle of {need:.1f} mm, the wider one has {widest.value:.1f} mm ({low:.1f} to {high:.1f})"


def _with_stances(facts: Facts, indication: Indication) -> Facts:
    """Add what the packs say together; what an undecided pack could still turn around stays unknown."""
    safety = [v for v in indication.verdicts if v.pack.role is Role.SAFETY]
    voting = [v for v in indication.verdicts if v.pack.role is Role.INDICATION]
    groups = {
        "contraindicated": (safety, Stance.AGAINST),
        "supported": (voting, Stance.FOR),
        "opposed": (voting, Stance.AGAINST),
    }
    values: dict[str, Value | None] = {}
    reasons: dict[str, str] = {}
    for name, (verdicts, stance) in groups.items():
        waiting = [v for v in verdicts if v.answer is None and _could(v, stance)]
        values[name] = True if any(v.stance is stance for v in verdicts) else None if waiting else False
        if values[name] is None:
            packs = "; ".join(f"{v.pack.id} ({', '.join(v.missing or v.borderline)})" for v in waiting)
            reasons[name] = f"these packs are undecided: {packs}"
    return Facts.of({**facts.values, **values}, {**facts.reasons, **reasons})


def _could(verdict: Verdict, stance: Stance) -> bool:
    return any(verdict.pack.answers[answer].stance is stance for answer in verdict.possible)


def _less(measured: Measured, needed: float) -> Measured:
    if measured.value is None:
        return measured
    low = measured.value if measured.low is None else measured.low
    high = measured.value if measured.high is None else measured.high
    return Measured(measured.value - needed, low - needed, high - needed, f"{measured.method}, less {needed:g} mm")


def _procedure(verdict: Verdict) -> Procedure | None:
    return Procedure(verdict.answer) if verdict.answer else None
