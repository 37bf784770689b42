"""The demo's patient: a phantom spine, its L1 fractured, every vertebra measured."""

from pathlib import Path

from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.pipeline.fracture import FractureCase, fracture_case
from vertecast.pipeline.measure import MeasureCase, measure_case
from vertecast.pipeline.phantom import CT, LABELS, PhantomCase, phantom_case
from vertecast.spine.fracture.spec import FractureSpec
from vertecast.spine.measurement import SpineMeasurement

FRACTURED_LEVEL = Level.L1
WEDGE = FractureSpec(anterior_loss=0.35, middle_loss=0.22)


def demo_case(out: Path, observer: Observer = SILENT) -> SpineMeasurement:
    """Write ``phantom/``, ``fractured/`` and ``measured/`` below ``out``; the intact phantom is the reference."""
    phantom, fractured = out / "phantom", out / "fractured"
    phantom_case(PhantomCase(), phantom, observer)
    fracture_case(
        FractureCase(labels=phantom / LABELS, ct=phantom / CT, level=FRACTURED_LEVEL, spec=WEDGE), fractured, observer
    )
    case = MeasureCase(
        labels=fractured / LABELS, ct=fractured / CT, prior_labels=phantom / LABELS, prior_ct=phantom / CT
    )
    return measure_case(case, out / "measured", observer)
