"""Proves the volume proposals: fractions of the body, balloons that fit room and cannula, every number sourced."""

import math

import pytest

from vertecast.core.errors import GeometryError
from vertecast.devices.catalogue import catalogue
from vertecast.planning.selector import Procedure
from vertecast.planning.volumes import BodySize, VolumeProposal, propose_volumes

DEVICES = catalogue()


def propose(procedure: Procedure, sides: int, *, cannula: str = "cannula-8G", **size: float) -> VolumeProposal:
    body = BodySize(**{"volume": 30_000.0, "depth": 33.0, "target_height": 26.0, **size})
    return propose_volumes(procedure, body, sides, cannula=DEVICES.cannulas[cannula].values, devices=DEVICES)


def test_vertebroplasty_is_a_fraction_of_the_body() -> None:
    found = propose(Procedure.VERTEBROPLASTY, 1)
    assert (found.cement_low, found.cement, found.cement_high) == pytest.approx((4500, 6000, 7500))
    assert found.fraction == pytest.approx(0.2)
    assert found.balloon is None
    assert propose(Procedure.VERTEBROPLASTY, 2, volume=20_000).cement == pytest.approx(4000)


def test_kyphoplasty_cement_fills_the_cavities() -> None:
    one, two = (propose(Procedure.KYPHOPLASTY, n) for n in (1, 2))
    assert one.balloon is not None
    assert one.balloon.name == "xpander-15/3", "18 mm in front of the posterior third take 15, not 20 mm"
    assert one.balloon.volume == 2400
    assert (one.cement, two.cement) == (2400, 4800)


def test_the_balloon_is_limited_by_room_by_rating_and_by_the_cannula() -> None:
    low = propose(Procedure.KYPHOPLASTY, 1, target_height=20).balloon
    assert low is not None
    assert low.volume == low.largest == pytest.approx(math.pi / 6 * 15 * (20 - 8) ** 2)
    tall = propose(Procedure.KYPHOPLASTY, 1, target_height=40).balloon
    assert tall is not None
    assert tall.largest == 4000, "rated volume"
    thin = propose(Procedure.KYPHOPLASTY, 1, cannula="cannula-10G").balloon
    assert thin is not None
    assert thin.name == "express-15/2", "3 mm folded does not pass 2.69 mm"
    deep = propose(Procedure.KYPHOPLASTY, 1, depth=37).balloon
    assert deep is not None
    assert deep.name == "xpander-20/3"


def test_no_balloon_and_no_operation_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"no balloon fits: 26.0 mm|no balloon fits: 9.3 mm of length"):
        propose(Procedure.KYPHOPLASTY, 1, depth=20)
    with pytest.raises(GeometryError, match=r"-2.0 mm of height are free.*use vertebroplasty"):
        propose(Procedure.KYPHOPLASTY, 1, target_height=6)
    with pytest.raises(GeometryError, match="no volumes for no_operation"):
        propose(Procedure.NO_OPERATION, 1)
    with pytest.raises(GeometryError, match="with 3 sides"):
        propose(Procedure.VERTEBROPLASTY, 3)
    with pytest.raises(GeometryError, match="all three must be above 0"):
        propose(Procedure.VERTEBROPLASTY, 1, depth=0)


def test_every_number_has_a_source_and_low_cement_is_said() -> None:
    found = propose(Procedure.KYPHOPLASTY, 1)
    assert all(use.source for use in found.uses)
    assert any("below 4.5 mL" in r for r in found.reasons)
    assert not any("below 4.5 mL" in r for r in propose(Procedure.KYPHOPLASTY, 2).reasons)
    entry = found.as_json()
    assert entry["cement_ml"]["value"] == 2.4
    assert entry["balloon"]["largest_per_side_ml"] <= 4.0
    assert {"assumed", "reported"} <= {p["status"] for p in entry["parameters"]}


def test_these_checks_can_fail() -> None:
    """The proposal follows the body: a fixed volume would give the same fraction twice."""
    small, large = (propose(Procedure.VERTEBROPLASTY, 1, volume=v) for v in (20_000, 40_000))
    assert large.cement == pytest.approx(2 * small.cement)
