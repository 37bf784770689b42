"""Project one volume with itk-rtk and plastimatch; run by the Python of an environment that has them.

    PEERS_PYTHON FOLDER      FOLDER holds case.npz, written by benchmarks/projector.py; peers.npz is written there.

Times are CPU seconds of the projection alone, all threads together. plastimatch is a command-line tool that reads the
CT at each start, which takes longer and varies more than one picture: it is let make 1 and 9 equal pictures in turn,
and an eighth of the difference is one picture's.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

REPEATS, PICTURES = 3, 8


def rtk(case: dict) -> tuple[float, float, np.ndarray]:
    """Joseph forward projection: CPU and wall seconds, and the map."""
    import itk
    from itk import RTK

    turn = np.stack([case["right"], case["down"], -case["out"]])
    volume = itk.image_from_array(np.ascontiguousarray(case["field"].transpose(2, 1, 0)))
    volume.SetSpacing(case["spacing"].tolist())
    volume.SetOrigin((turn @ (case["origin"] - case["isocentre"])).tolist())
    volume.SetDirection(itk.matrix_from_array(np.ascontiguousarray(turn @ case["directions"])))
    pixels, pitch = int(case["pixels"]), float(case["size"]) / int(case["pixels"])
    stack = itk.image_from_array(np.zeros((1, pixels, pixels), np.float32))
    stack.SetSpacing([pitch, pitch, 1.0])
    stack.SetOrigin([-(pixels - 1) / 2 * pitch, -(pixels - 1) / 2 * pitch, 0.0])
    geometry = RTK.ThreeDCircularProjectionGeometry.New()
    geometry.AddProjection(float(case["sid"]), float(case["sdd"]), 0.0)
    kind = type(volume)
    projector = RTK.JosephForwardProjectionImageFilter[kind, kind].New()
    projector.SetInput(0, stack)
    projector.SetInput(1, volume)
    projector.SetGeometry(geometry)
    projector.InPlaceOff()  # else the second run finds its input released
    costs = []
    for _ in range(REPEATS + 1):
        projector.Modified()
        wall, cpu = time.perf_counter(), time.process_time()
        projector.Update()
        costs.append((time.process_time() - cpu, time.perf_counter() - wall))
    picture = itk.array_from_image(projector.GetOutput())[0]
    return (*np.median(costs[1:], axis=0), picture)


def plastimatch(case: dict, folder: Path) -> tuple[float, float, np.ndarray]:
    """Exact (Siddon) ray tracing by the drr tool: CPU and wall seconds, and the map in any orientation."""
    # The tool takes no turned volume: axes that run against LPS are turned round, others are not in this benchmark.
    signs = np.diag(case["directions"])
    if not np.allclose(np.abs(signs), 1.0):
        raise SystemExit("plastimatch needs a CT whose axes are those of LPS")
    turned = case["field"][tuple(slice(None, None, int(sign)) for sign in signs)]
    lengths = (np.array(turned.shape) - 1) * case["spacing"]
    origin = case["origin"] - np.where(signs < 0, lengths, 0.0)
    field = np.ascontiguousarray(turned.transpose(2, 1, 0), np.float32)
    header = folder / "volume.mhd"
    (folder / "volume.raw").write_bytes(field.tobytes())
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "DimSize": " ".join(map(str, field.shape[::-1])),
        "ElementSpacing": " ".join(map(str, case["spacing"])),
        "Offset": " ".join(map(str, origin)),
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "ElementType": "MET_FLOAT",
        "ElementDataFile": "volume.raw",
    }
    header.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    tool = Path(sys.executable).parent / "plastimatch"

    pixels = int(case["pixels"])
    words = [str(tool), "drr", "-i", "exact", "-P", "none", "-t", "pfm", "-A", "cpu", "-r", f"{pixels} {pixels}"]
    words += ["-z", f"{case['size']} {case['size']}", "-c", f"{(pixels - 1) / 2} {(pixels - 1) / 2}"]
    words += ["-o", " ".join(map(str, case["isocentre"])), "--sad", str(case["sid"]), "--sid", str(case["sdd"])]
    words += ["-I", str(header)]

    def run(name: str, *more: str) -> tuple[tuple[float, float], list[np.ndarray]]:
        before, wall = os.times(), time.perf_counter()
        subprocess.run([*words, "-O", str(folder / name), *more], check=True, capture_output=True)
        after, wall = os.times(), time.perf_counter() - wall
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        raw = [path.read_bytes()[-4 * pixels * pixels :] for path in sorted(folder.glob(f"{name}*.pfm"))]
        return (cpu, wall), [np.frombuffer(one, "<f4").reshape(pixels, pixels) for one in raw]

    out = case["out"]
    _, (picture,) = run("aimed", "-n", " ".join(map(str, -out)), "--vup", " ".join(map(str, -case["down"])))
    # Only gantry angles, which this tool takes in radians about the long axis, give several pictures in one run.
    turn = ["-y", str(float(np.arctan2(out[1], -out[0]))), "-N", "0"]
    costs = []
    for _ in range(REPEATS):
        one, _ = run("one", *turn, "-a", "1")
        many, pictures = run("many", *turn, "-a", str(1 + PICTURES))
        costs.append((np.array(many) - one) / PICTURES)
    same = max(float(np.abs(other - picture).max()) for other in pictures)
    if len(pictures) != 1 + PICTURES or same > 0.01 * float(np.ptp(picture)):
        raise SystemExit(f"plastimatch's pictures by gantry angle differ from the aimed one by {same:g}")
    return (*np.median(costs, axis=0), picture)


def main(folder: Path) -> None:
    """Run what is installed and write it down."""
    with np.load(folder / "case.npz") as stored:
        case = {name: stored[name] for name in stored.files}
    found = {}
    for name, run in (("itk-rtk", lambda: rtk(case)), ("plastimatch", lambda: plastimatch(case, folder))):
        try:
            cpu, wall, picture = run()
        except (ImportError, FileNotFoundError):
            continue
        found[f"{name} cost"], found[f"{name} picture"] = np.array([cpu, wall]), picture
    np.savez(folder / "peers.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
