"""Which calibration a case asks for: a file, the patient's own tissues, or the stated fallback."""

from pathlib import Path

from vertecast.core.errors import InputError
from vertecast.imaging.calibration import Calibration, fallback_calibration, read_calibration
from vertecast.imaging.internal_calibration import internal_calibration
from vertecast.imaging.tissues import found_tissues
from vertecast.imaging.volume import LabelMap, Volume

NOT_FILES = (None, "internal", "fallback")


def chosen_calibration(choice: str, volume: Volume | None, labels: LabelMap) -> Calibration:
    """Return the calibration by its name, ``"internal"`` or ``"fallback"``, or from the TOML file of that path."""
    if choice == "fallback":
        return fallback_calibration()
    if choice != "internal":
        return read_calibration(Path(choice))
    if volume is None:
        raise InputError("an internal calibration needs the CT, only labels were given; add the CT")
    return internal_calibration(found_tissues(volume, labels))
