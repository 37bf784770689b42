"""The command line: one module per command; each only translates to ``pipeline``.

Exit status: 0 done, 1 failed (the sentence says why and what to do), 2 called wrongly. Heavy libraries are imported
inside the commands, so that ``vertecast info`` and ``--help`` answer at once.
"""

import os

import typer

from vertecast.cli.compare import compare
from vertecast.cli.demo import demo
from vertecast.cli.fracture import fracture
from vertecast.cli.indicate import indicate
from vertecast.cli.info import info
from vertecast.cli.measure import measure
from vertecast.cli.patient import patient
from vertecast.cli.phantom import phantom
from vertecast.cli.plan import plan
from vertecast.cli.radiograph import radiograph
from vertecast.cli.report import report
from vertecast.cli.run import run
from vertecast.cli.simulate import simulate
from vertecast.cli.strength import strength

app = typer.Typer(
    name="vertecast",
    help="Plan and simulate vertebral augmentation from a spine CT. Research and education, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS = (
    run,
    measure,
    indicate,
    plan,
    simulate,
    report,
    compare,
    radiograph,
    strength,
    phantom,
    fracture,
    patient,
    demo,
    info,
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line.

    The many small dense solves run on one thread: faster than two that wait for each other by spinning, and the same
    sums whatever the machine's number of cores.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # the next small loop comes sooner than a thread wakes
    app()
