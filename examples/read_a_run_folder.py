# ruff: noqa: T201  (a script prints)
"""Read a run folder without Vertecast: its JSON, events and fields are open formats.

Run: python examples/read_a_run_folder.py DIR
"""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np


def main(folder: Path) -> dict[str, float]:
    """Print what was done at each level; return the cement of each level, mL, from its field."""
    spine = json.loads((folder / "spine.json").read_text(encoding="utf-8"))
    for vertebra in spine["vertebrae"]:
        loss = vertebra.get("height_loss_percent") or {}
        if loss.get("value") is not None:
            ends = f"{loss['low']:.0f} to {loss['high']:.0f}"
            print(f"{vertebra['level']}: {loss['value']:.0f} ({ends}) % of the height lost")
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    for event in events:
        if event["kind"] == "stop":
            print(f"{event['t_s']:6.1f} s, {event['level']} {event['side']}: stopped, {event['data']['reason']}")
    amounts = {}
    for level in sorted(path.name for path in (folder / "fields").iterdir()):
        image = nibabel.load(folder / "fields" / level / "cement_fraction.nii.gz")
        share = np.nan_to_num(np.asarray(image.dataobj, float))
        voxel_ml = float(np.prod(image.header.get_zooms()[:3])) / 1000.0
        amounts[level] = float(share.sum()) * voxel_ml
        print(f"{level}: {amounts[level]:.2f} mL of cement in the field")
    return amounts


if __name__ == "__main__":
    main(Path(sys.argv[1]))
