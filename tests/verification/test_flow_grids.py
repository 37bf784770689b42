"""Refining 1.5 -> 1 -> 0.75 mm: the cloud in uneven bone with a shell and an open vein, and its leak, settle.

Asked of the last two grids: Dice >= 0.9, 95 % Hausdorff distance <= 2 voxels, leak change < 15 % or < 0.05 mL.
"""

import numpy as np
import pytest
from scipy import ndimage
from tests.verification.flow_bone import FINE, Body, scene, tip

from vertecast.kernels.flow import advance_flow, start_flow

BODY = Body(half_x=11, half_y=10, height=16.5, vein=2.25)
VOLUME, RATE = 1500.0, 60.0


def cloud(spacing, vein_open=True):
    """Return the cloud on the common fine grid, the leak (mm3, vein and outlets) and the drained volume by outlet."""
    made = scene(BODY, spacing, vein_open=vein_open)
    state, source = start_flow(made.system), tip(made, (2.0, 1.0, 0.0), RATE)
    while state.time < VOLUME / RATE * (1 - 1e-12):
        state = advance_flow(made.system, state, [source], VOLUME / RATE - state.time)
    volume = state.saturation * made.space.volume
    ledger = state.ledger
    given, leaked = ledger.injected["tip"], sum(ledger.leaked.values())
    assert abs(given - volume.sum() - leaked) < 1e-12 * given
    assert state.saturation.max() <= 1 + 1e-6
    shown = np.repeat(np.repeat(np.repeat(state.saturation, made.step, 0), made.step, 1), made.step, 2) > 0.5
    return shown, volume[~made.body].sum() + leaked, ledger


def overlap(one, other):
    """Return Dice and the 95 % Hausdorff distance (mm) of two clouds on the fine grid."""
    window = tuple(slice(0, min(a, b)) for a, b in zip(one.shape, other.shape, strict=True))
    a, b = one[window], other[window]
    rim_a, rim_b = a ^ ndimage.binary_erosion(a), b ^ ndimage.binary_erosion(b)
    far_a = ndimage.distance_transform_edt(~rim_b)[rim_a] * FINE
    far_b = ndimage.distance_transform_edt(~rim_a)[rim_b] * FINE
    return 2 * (a & b).sum() / (a.sum() + b.sum()), np.percentile(np.concatenate([far_a, far_b]), 95)


@pytest.mark.slow
def test_the_cloud_and_its_leak_settle_with_the_grid():
    middle, fine = cloud(1.0), cloud(0.75)
    dice, apart = overlap(middle[0], fine[0])
    assert dice >= 0.9
    assert apart <= 2 * 0.75
    change = abs(middle[1] - fine[1])
    assert change < 0.15 * fine[1] or change < 50.0
    assert fine[1] > 100.0, "there must be a leak to compare"
    shifted = np.roll(middle[0], 8, axis=0)
    assert overlap(shifted, fine[0])[0] < 0.9, "a cloud 2 mm away must fail this"


@pytest.mark.slow
def test_the_coarse_grid_is_near():
    coarse, fine = cloud(1.5), cloud(1.0)
    assert overlap(coarse[0], fine[0])[0] >= 0.88  # nothing is asked of this pair; 0.892 found
    assert abs(coarse[1] - fine[1]) < 0.15 * fine[1]


def test_closing_the_vein_makes_its_leak_zero_and_the_rest_rise():
    _, _, open_ledger = cloud(1.5)
    _, _, shut_ledger = cloud(1.5, vein_open=False)
    assert open_ledger.leaked["vein"] > 5.0
    assert shut_ledger.leaked["vein"] == 0
    assert shut_ledger.drained["tissue"] > open_ledger.drained["tissue"]
