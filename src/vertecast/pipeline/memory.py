"""Peak memory of this process since it was last asked to forget, where the system can tell."""

import resource
import sys
from pathlib import Path

_FORGET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def forget_peak() -> None:
    """Begin a new peak, so that a stage is not charged with an earlier one's; only Linux can."""
    try:
        _FORGET.write_text("5")
    except OSError:
        return


def peak_mib() -> float:
    """Return the highest resident memory since the last :func:`forget_peak`, MiB; else since the process began."""
    try:
        line = next(one for one in _STATUS.read_text().splitlines() if one.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 2**10, 1)
    except (OSError, StopIteration, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
