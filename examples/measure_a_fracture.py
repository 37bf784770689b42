# ruff: noqa: T201  (a script prints)
"""Make a phantom spine, fracture its L1 and measure what was lost; the truth is known, so the error is too.

Run: python examples/measure_a_fracture.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from vertecast import Level
from vertecast.imaging.read import read_labels, read_volume
from vertecast.pipeline.fracture import FractureCase, fracture_case
from vertecast.pipeline.phantom import CT, LABELS, PhantomCase, phantom_case
from vertecast.spine.fracture.spec import FractureSpec
from vertecast.spine.heights import Place
from vertecast.spine.measure import measure_spine

LOST_PERCENT = 30.0


def main() -> float:
    """Return the measured loss of the anterior height, per cent."""
    with TemporaryDirectory() as folder:
        intact, broken = Path(folder) / "intact", Path(folder) / "broken"
        phantom_case(PhantomCase(first=Level.T12, last=Level.L2, spacing_mm=1.5, slice_mm=1.5), intact)
        spec = FractureSpec(anterior_loss=LOST_PERCENT / 100.0, middle_loss=0.15)
        fracture_case(FractureCase(labels=intact / LABELS, ct=intact / CT, level=Level.L1, spec=spec), broken)
        spine = measure_spine(read_labels(broken / LABELS), read_volume(broken / CT))
    for vertebra in spine.vertebrae:
        height = vertebra.heights_mm[Place.ANTERIOR]
        print(f"{vertebra.level}: anterior height {height.value:.1f} ({height.low:.1f} to {height.high:.1f}) mm")
    loss = spine[Level.L1].height_loss_percent
    print(f"L1 lost {loss.value:.0f} ({loss.low:.0f} to {loss.high:.0f}) %, made with {LOST_PERCENT:.0f} %")
    print(f"Genant grade {spine[Level.L1].genant.grade:g}, {spine[Level.L1].genant.shape.value}")
    return float(loss.value)


if __name__ == "__main__":
    main()
