"""Take the scanner's couch out of a CT: the patient is operated on another table, and often turned over."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from vertecast.imaging.volume import Volume
from vertecast.physics.xray_tissue import TissueLaw

_AIR = -1024


def without_couch(volume: Volume, law: TissueLaw) -> Volume:
    """Set to air what is denser than air but is not joined to the largest such thing, the body.

    Notes
    -----
    Found on a coarse grid, ``couch_gap`` wide at most. A couch that touches the skin stays, and so does a lone crop in
    which nothing else is dense. Air between body and couch is left as it is.
    """
    steps = np.maximum(1, np.floor(law.couch_gap / 2 / volume.grid.spacing)).astype(int)
    coarse = volume.hu[:: steps[0], :: steps[1], :: steps[2]] > law.cut_tissue
    parts, count = ndimage.label(coarse)
    if count < 2:
        return volume
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = parts == int(sizes.argmax())
    foreign = ndimage.binary_dilation(coarse & ~body, iterations=2) & ~ndimage.binary_dilation(body)
    # Holes of the body (gut wall, contrast in gas) are inside its filled outline, slice by slice along the long axis.
    longest = int(np.argmax(np.abs(volume.grid.directions[2])))
    inside = np.stack([ndimage.binary_fill_holes(np.take(body, i, axis=longest)) for i in range(body.shape[longest])])
    foreign &= ~np.moveaxis(inside, 0, longest)
    if not foreign.any():
        return volume
    hu = volume.hu.copy()
    for axis, step in enumerate(steps):
        foreign = np.repeat(foreign, step, axis=axis)
    foreign = foreign[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
    pad = [(0, n - m) for n, m in zip(hu.shape, foreign.shape, strict=True)]
    hu[np.pad(foreign, pad, mode="edge")] = _AIR
    sentence = "what does not touch the body (scanner couch, wires) was taken out of the CT before projecting it"
    return replace(volume, hu=hu, warnings=(*volume.warnings, sentence))
