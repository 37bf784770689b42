"""The demo's patient: a phantom spine whose L1 is fractured, taken through the whole run."""

from pathlib import Path

from vertecast.core.files import atomic_path
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT_RUN, RunObserver
from vertecast.core.parameters import data_file
from vertecast.kernels.compilation import CompileClock
from vertecast.pipeline.case import Case
from vertecast.pipeline.fracture import FractureCase, fracture_case
from vertecast.pipeline.phantom import CT, LABELS, PhantomCase, phantom_case
from vertecast.pipeline.run import Ran, run_case
from vertecast.spine.fracture.spec import FractureSpec

FRACTURED_LEVEL = Level.L1
WEDGE = FractureSpec(anterior_loss=0.35, middle_loss=0.22)
PATIENT = "patient.toml"


def demo_case(
    out: Path,
    observer: RunObserver = SILENT_RUN,
    *,
    procedure: str = "kyphoplasty",
    voxel_mm: float = 1.0,
    clock: CompileClock | None = None,
) -> Ran:
    """Make ``phantom/``, ``fractured/`` and ``patient.toml`` below ``out``, and run the case into ``out/run``.

    The intact phantom is the patient's own earlier CT: the reference for the height that was lost.
    """
    phantom, fractured = out / "phantom", out / "fractured"
    if not (phantom / "manifest.json").is_file():
        phantom_case(PhantomCase(), phantom, observer)
    if not (fractured / "manifest.json").is_file():
        broken = FractureCase(labels=phantom / LABELS, ct=phantom / CT, level=FRACTURED_LEVEL, spec=WEDGE)
        fracture_case(broken, fractured, observer)
    with atomic_path(out / PATIENT) as temporary:
        temporary.write_bytes(data_file(f"phantom/{PATIENT}").read_bytes())
    case = Case(
        ct=fractured / CT,
        labels=fractured / LABELS,
        prior_ct=phantom / CT,
        prior_labels=phantom / LABELS,
        patient=out / PATIENT,
        levels=(FRACTURED_LEVEL,),
        procedure=procedure,
        voxel_mm=voxel_mm,
        case_id="demo",
    )
    return run_case(case, out / "run", observer, clock=clock)
