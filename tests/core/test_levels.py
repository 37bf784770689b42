"""Proves: levels are ordered craniocaudally and T13 and L6 stand between their neighbours."""

from vertecast.core.levels import Level, Region


def test_the_order_is_craniocaudal() -> None:
    ranks = [level.rank for level in Level]
    assert ranks == sorted(ranks)
    assert Level.T12.rank < Level.T13.rank < Level.L1.rank < Level.L5.rank < Level.L6.rank < Level.S1.rank


def test_regions() -> None:
    assert Level.C7.region is Region.CERVICAL
    assert Level.T13.region is Region.THORACIC
    assert Level.L6.region is Region.LUMBAR
    assert Level.S1.region is Region.SACRAL
    assert str(Level.L1) == "L1"
