"""The projector and the live frame on a real chest CT, against itk-rtk and plastimatch in the same run.

Peers run in the Python named by the environment variable ``PEERS_PYTHON`` (``pip install itk-rtk plastimatch`` there);
where it is not set, or one of them is absent, the table says "not installed".
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import DATA, markdown
from vertecast.devices.carm import Pose, View
from vertecast.fluoro.body import Body, cone_through
from vertecast.fluoro.fluoroscope import Fluoroscope
from vertecast.fluoro.scene import ClosedSurface, Scene, Tube, VoxelField
from vertecast.fluoro.settings import Settings, load_settings
from vertecast.imaging.grid import Grid
from vertecast.imaging.read import read_volume
from vertecast.imaging.volume import Volume
from vertecast.kernels.project import Cone, make_stack, project_stack
from vertecast.kernels.project_reference import exact_integrals
from vertecast.physics.attenuation import iodine_contrast, opacified

POSES = {"AP": (0, 0), "lateral": (90, 0), "LAO 25": (25, 0), "CRA 20": (0, 20), "LAO 35 CRA 25": (35, 25)}
POSES |= {"LAO 44": (44, 0), "LAO 80 CRA 15": (80, 15)}
REPEATS, RAYS = 7, 400


def section() -> str:
    """Return the section of ``docs/benchmarks.md``."""
    if not DATA.is_dir():
        return "## Fluoroscopy\n\nThe real CTs are not on this machine.\n"
    settings = load_settings()
    volume = read_volume(DATA / "cxr" / "ct.nii.gz")
    field = np.where(volume.hu < -950, 0.0, 0.02059 * (1 + volume.hu / 1000.0)).astype(np.float32)
    isocentre = volume.grid.to_lps((np.array(volume.grid.shape) - 1) / 2) + np.array([0.0, 60.0, 0.0])
    parts = [
        "## Fluoroscopy\n",
        "cxr, 512×512×133, 0.70×0.70×2.5 mm; focus to detector 1020 mm, to isocentre 620 mm, detector 300×300 mm. "
        "CPU is process time, all threads; median of 7.\n",
        _poses(volume, field, isocentre, settings),
        _peers(volume, field, isocentre, settings),
        _live(volume, isocentre, settings),
    ]
    return "\n".join(parts)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Median CPU and wall milliseconds of ``work``, after one call that is not counted."""
    work()
    costs = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        costs.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu_s, wall_s = np.median(costs, axis=0)
    return 1000 * float(cpu_s), 1000 * float(wall_s)


def nrmse(field: np.ndarray, cone: Cone, picture: np.ndarray) -> float:
    """Error against the exact integral of the trilinear field, over its range."""
    pixels = np.random.default_rng(1).integers(0, cone.shape[0], (RAYS, 2))
    exact = exact_integrals(field, cone, pixels)
    error = picture[pixels[:, 1], pixels[:, 0]] - exact
    return float(np.sqrt((error**2).mean()) / np.ptp(exact))


def _view(settings: Settings, isocentre: np.ndarray, pixels: int, lao: float, cranial: float) -> View:
    return View(settings.carm.binned(pixels), Pose.tilted(isocentre, lao_deg=lao, cranial_deg=cranial))


def _poses(volume: Volume, field: np.ndarray, isocentre: np.ndarray, settings: Settings) -> str:
    rows = []
    body = Body(volume, settings.physics, settings.tissue)
    for name, (lao, cranial) in POSES.items():
        cones = {n: cone_through(_view(settings, isocentre, n, lao, cranial), volume.grid) for n in (512, 1024)}
        stack = make_stack(field, cones[512].slice_axis)
        error = nrmse(field, cones[512], project_stack(stack, cones[512]))
        one = timed(lambda s=stack, c=cones: project_stack(s, c[512]))
        two = timed(lambda s=stack, c=cones: project_stack(s, c[512], threads=2))
        large = timed(lambda s=stack, c=cones: project_stack(s, c[1024], threads=2))
        view = _view(settings, isocentre, 512, lao, cranial)
        both = timed(lambda v=view: body.paths(v, threads=2))
        cells = [f"{x:.0f}" for pair in (one, two, both, large) for x in pair]
        rows.append((name, *cells, f"{error:.1e}"))
    heads = [
        f"{what}, {unit} ms"
        for what in ("512² 1 thread", "512² 2 threads", "two materials 2 threads", "1024² 2 threads")
        for unit in ("CPU", "wall")
    ]
    table = markdown(("view", *heads, "nRMSE 512²"), rows)
    return f"{table}\n\nTargets: 40 ms, 60 ms and 80 ms wall on 2 quiet cores; 5e-4.\n"


def _peers(volume: Volume, field: np.ndarray, isocentre: np.ndarray, settings: Settings) -> str:
    rows = []
    for name in ("AP", "lateral"):
        view = _view(settings, isocentre, 512, *POSES[name])
        cone = cone_through(view, volume.grid)
        stack = make_stack(field, cone.slice_axis)
        ours = timed(lambda s=stack, c=cone: project_stack(s, c, threads=2))
        picture = project_stack(stack, cone)
        rows.append((name, "Vertecast, 2 threads", *_cells(ours), f"{nrmse(field, cone, picture):.1e}", "1"))
        found = _run_peers(volume, field, view, settings)
        for peer in ("itk-rtk", "plastimatch"):
            if f"{peer} cost" not in found:
                rows.append((name, peer, "not installed", "", "", ""))
                continue
            cost = tuple(1000 * found[f"{peer} cost"])
            seen = _aligned(found[f"{peer} picture"], picture)
            rows.append((name, peer, *_cells(cost), f"{nrmse(field, cone, seen):.1e}", f"{cost[0] / ours[0]:.1f}×"))
    return markdown(("view", "512² line integrals", "CPU ms", "wall ms", "nRMSE", "CPU over ours"), rows) + "\n"


def _cells(cost: tuple[float, ...]) -> tuple[str, str]:
    return f"{cost[0]:.0f}", f"{cost[1]:.0f}"


def _aligned(picture: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Turn a peer's picture as ours is turned, in our unit: its own axes and unit are no matter of accuracy."""
    turns = [np.rot90(p, k) for p in (picture, picture[:, ::-1]) for k in range(4)]
    best = min(turns, key=lambda p: float(np.abs(p * (ours.mean() / max(p.mean(), 1e-9)) - ours).mean()))
    unit = 10.0 ** round(float(np.log10(best.mean() / ours.mean())))
    return best / unit


def _run_peers(volume: Volume, field: np.ndarray, view: View, settings: Settings) -> dict[str, np.ndarray]:
    python = os.environ.get("PEERS_PYTHON")
    if not python:
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "case.npz",
            field=field,
            spacing=volume.grid.spacing,
            directions=volume.grid.directions,
            origin=volume.grid.to_lps([0, 0, 0]),
            isocentre=view.pose.isocentre_lps,
            right=view.pose.right_lps,
            down=view.pose.down_lps,
            out=view.pose.towards_detector_lps,
            pixels=view.shape[0],
            size=settings.carm.detector_width,
            sid=settings.carm.source_isocentre,
            sdd=settings.carm.source_detector,
        )
        script = Path(__file__).with_name("projector_peers.py")
        subprocess.run([python, str(script), str(folder)], check=True)
        with np.load(folder / "peers.npz") as stored:
            return {key: stored[key] for key in stored.files}


def _live(volume: Volume, isocentre: np.ndarray, settings: Settings) -> str:
    body = Body(volume, settings.physics, settings.tissue)
    rows = []
    for pixels in (512, 1024):
        scope = Fluoroscope(body, _view(settings, isocentre, pixels, 0, 0), settings=settings)
        scenes = [_scene(isocentre, settings, step) for step in range(30)]
        scope.frame(scenes[0])
        costs = []
        for scene in scenes[1:]:
            wall, cpu = time.perf_counter(), time.process_time()
            scope.frame(scene)
            costs.append((time.process_time() - cpu, time.perf_counter() - wall))
        cpu_ms = 1000 * np.array(costs)
        spread = f"{np.percentile(cpu_ms[:, 0], 95):.1f}"
        rows.append((f"{pixels}²", f"{np.median(cpu_ms[:, 0]):.1f}", spread, f"{np.median(cpu_ms[:, 1]):.1f}"))
    table = markdown(("live frame", "CPU ms", "95th percentile", "wall ms"), rows)
    return (
        f"{table}\n\nEvery part moves in every frame: two hollow needles, a balloon of 1520 triangles, a cement of 40³ "
        "voxels; then 16 energy bins, scatter, noise, blur, lag, average, display. One thread. Target 10 ms at 512².\n"
    )


def _scene(isocentre: np.ndarray, settings: Settings, step: int) -> Scene:
    materials = settings.physics.materials
    steel = materials["steel_316l"]
    cement = opacified(materials["pmma"], materials["barium_sulfate"], 0.3)
    away = np.array([[0.3, 0.95, 0.1], [-0.3, 0.95, 0.1]])
    tips = isocentre + np.array([[8.0, 0, 0], [-8.0, 0, 0]]) + (30 - step) * away
    needles = [Tube(tip, tip + 80 * d, 1.6, 1.3, steel) for tip, d in zip(tips, away, strict=True)]
    vertices, faces = _globe(40, 20)
    middle, contrast = isocentre - np.array([-8.0, 8.0, 0.0]), iodine_contrast(300, materials)
    balloon = ClosedSurface(middle + (4 + 0.15 * step) * vertices, faces, contrast)
    place = (np.arange(40) - 19.5) * 0.5
    x, y, z = np.ix_(place, place, place)
    radius = 4 + 0.15 * step
    fraction = (x**2 + 1.3 * y**2 + z**2 < radius**2).astype(np.float32)
    matrix = np.diag([0.5, 0.5, 0.5, 1.0])
    matrix[:3, 3] = isocentre - np.array([8.0, 8.0, 0.0]) - 9.75
    return Scene((*needles, balloon, VoxelField(fraction, Grid.from_affine(fraction.shape, matrix), cement)))


def _globe(around: int, along: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere of triangles: vertices and outward faces."""
    angles = [(np.pi * i / along, 2 * np.pi * j / around) for i in range(1, along) for j in range(around)]
    ring = [(np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)) for t, p in angles]
    vertices = np.array([(0, 0, 1), *ring, (0, 0, -1)], float)
    last, faces = len(vertices) - 1, []
    for j in range(around):
        k = (j + 1) % around
        faces.append((0, 1 + j, 1 + k))
        faces.append((last, last - around + k, last - around + j))
        for i in range(along - 2):
            a, b = 1 + i * around, 1 + (i + 1) * around
            faces += [(a + j, b + j, b + k), (a + j, b + k, a + k)]
    return vertices, np.array(faces)


if __name__ == "__main__":
    print(section())
