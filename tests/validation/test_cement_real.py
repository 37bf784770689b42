"""Proves: on a real lumbar CT with a virtual fracture, the planned cement lies in the body, about the needles' tips."""

import json
from pathlib import Path

import numpy as np
import pytest

from vertecast.core.levels import Level
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.plan import PlanChoice, plan_case
from vertecast.pipeline.planning_inputs import PlanningCase
from vertecast.pipeline.simulate import SimulateCase, Simulated, simulate_case
from vertecast.planning.selector import Procedure
from vertecast.procedure.regions import Route
from vertecast.spine.fracture.fracture import fracture_vertebra
from vertecast.spine.fracture.spec import FractureSpec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulated(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    folder = tmp_path_factory.mktemp("verse014")
    volume = read_volume(data_dir / "verse014" / "ct.nii.gz")
    labels = read_labels(data_dir / "verse014" / "vert.nii.gz")
    broken = fracture_vertebra(volume, labels, Level.L2, FractureSpec.wedge(0.25))
    assert broken.volume is not None
    ct, vert = folder / "ct.nii.gz", folder / "labels.nii.gz"
    write_nifti(ct, broken.volume)
    write_nifti(vert, broken.labels)
    case = PlanningCase(labels=vert, ct=ct, levels=(Level.L2,))
    plan_case(case, PlanChoice(procedure=Procedure.VERTEBROPLASTY), folder / "run")
    return simulate_case(SimulateCase(folder=folder / "run"))


def test_what_did_not_leak_lies_in_the_body_about_the_tips(simulated: Simulated) -> None:
    level = simulated.state.at(Level.L2)
    site, fraction = level.bed.site, level.cement_fraction
    kept = float(fraction[site.own].sum())
    assert float(fraction[site.body].sum()) >= 0.95 * kept
    weights = np.where(site.body, fraction, 0.0)
    places = np.argwhere(weights > 0)
    middle = site.grid.to_lps(np.average(places, axis=0, weights=weights[tuple(places.T)]))
    task = simulated.tasks[0]
    flows = np.array([level.injected[one.side] for one in task.needles])
    tips = np.average([one.tip_lps for one in task.needles], axis=0, weights=flows)
    assert float(np.linalg.norm(middle - tips)) <= 3.0


def test_cement_is_conserved_and_the_heat_is_plausible(simulated: Simulated) -> None:
    level = simulated.state.at(Level.L2)
    flow = level.flow
    assert flow is not None
    inside = float((flow.saturation * level.bed.space.volume).sum())
    out = sum(flow.ledger.leaked.values()) + sum(flow.ledger.needle.values())
    pushed = sum(flow.ledger.injected.values())
    assert abs(pushed - inside - out) <= 1e-12 * pushed
    assert float(flow.saturation.max()) <= 1.0 + 1e-6
    document = simulated.document["levels"]["L2"]
    assert json.loads(json.dumps(document)) == document
    assert 45.0 < document["heat"]["cement_peak_degc"] < 113.0
    assert document["heat"]["canal_peak_degc"] <= 57.0
    assert set(level.leaks) == set(Route)
