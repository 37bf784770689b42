"""Bones, tools and cement as surfaces for printing and for any 3-D program: STL in mm, one glTF scene in metres."""

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.report.case_report_run import RunFolder
from vertecast.report.scene3d import filling_mesh
from vertecast.report.view3d import Needle, Scene3D, make_scene
from vertecast.report.view3d_meshes import Mesh

_SIDES = 32
_COLOURS = {  # linear RGB and opacity
    "target": (0.70, 0.52, 0.30, 0.45),
    "neighbour": (0.70, 0.64, 0.54, 1.0),
    "canal": (0.69, 0.37, 0.0, 0.35),
    "cement": (0.69, 0.13, 0.01, 1.0),
    "balloon": (0.03, 0.21, 0.64, 0.6),
    "needle": (0.30, 0.34, 0.38, 1.0),
}
# glTF: right-handed, +Y up, +Z to the viewer, metres. Left stays +X, superior becomes +Y, anterior +Z.
GLTF_FROM_LPS_MM = 1e-3 * np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_FLOAT, _UNSIGNED, _VERTICES, _INDICES = 5126, 5125, 34962, 34963


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One surface with its name and kind: target, neighbour, canal, needle, balloon or cement."""

    name: str
    kind: str
    mesh: Mesh

    @property
    def file_stem(self) -> str:
        """The name as a file's: letters, digits and underscores."""
        return re.sub(r"[^A-Za-z0-9]+", "_", self.name).strip("_")


def run_parts(run: RunFolder) -> tuple[Part, ...]:
    """Return all surfaces of a run: the ones of the report's 3-D view, fillings as at the end.

    A balloon is shown at its largest, though it is taken out before the cement.

    Raises
    ------
    InputError
        If the run holds neither bones nor needles nor fields, or vtk is not installed.
    """
    try:
        import vtkmodules  # noqa: F401
    except ImportError as exc:
        raise InputError("surfaces need vtk; install vertecast[report]") from exc
    scene = make_scene(run)
    if scene is None:
        raise InputError(f"{run.path} holds no labels, needles or fields; measure, plan or simulate first")
    return tuple(_parts(scene))


def _parts(scene: Scene3D) -> list[Part]:
    parts = [Part(bone.name, bone.kind, bone.at(np.inf)) for bone in scene.bones]
    parts += [Part(f"needle {one.name}", "needle", needle_mesh(one)) for one in scene.needles]
    for filling in scene.fillings:
        last = float(np.nanmax(filling.arrival_s))
        mesh = filling_mesh(filling, last)
        if mesh is not None:
            parts.append(Part(filling.name, filling.kind, _outward(mesh)))
    return parts


def at_the_end(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts without the balloons that were taken out before the cement, in whose place it now is."""
    if not any(part.kind == "cement" for part in parts):
        return parts
    return tuple(part for part in parts if part.kind != "balloon")


def needle_mesh(needle: Needle) -> Mesh:
    """Return a needle as a closed cylinder from its outer end to its tip.

    The polygon of its section has the circle's area, so that the volume is the cylinder's.
    """
    axis = needle.tip_lps - needle.outer_lps
    axis = axis / np.linalg.norm(axis)
    across = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    across /= np.linalg.norm(across)
    angles = 2 * np.pi * np.arange(_SIDES) / _SIDES
    radius = needle.radius_mm * np.sqrt(2 * np.pi / (_SIDES * np.sin(2 * np.pi / _SIDES)))
    ring = radius * (np.outer(np.cos(angles), across) + np.outer(np.sin(angles), np.cross(axis, across)))
    points = np.concatenate([needle.outer_lps + ring, needle.tip_lps + ring, [needle.outer_lps, needle.tip_lps]])
    here = np.arange(_SIDES)
    after, near, far = (here + 1) % _SIDES, np.full(_SIDES, 2 * _SIDES), np.full(_SIDES, 2 * _SIDES + 1)
    corners = [
        (here, after, after + _SIDES),
        (here, after + _SIDES, here + _SIDES),
        (near, after, here),
        (far, here + _SIDES, after + _SIDES),
    ]
    return _outward(Mesh(points, np.concatenate([np.stack(one, axis=1) for one in corners]).astype(np.int64)))


def write_stl(path: Path, part: Part) -> Path:
    """Write one surface as binary STL: LPS millimetres, as the header says; normals outwards.

    Raises
    ------
    InputError
        If the surface has no triangle.
    """
    mesh = part.mesh
    if not len(mesh.faces):
        raise InputError(f"{path}: {part.name} has no triangle; leave it out")
    corners = mesh.points_lps[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sizes = np.linalg.norm(normals, axis=1, keepdims=True)
    records = np.zeros(len(corners), [("vectors", "<f4", (4, 3)), ("attribute", "<u2")])
    records["vectors"][:, 0] = np.divide(normals, sizes, out=np.zeros_like(normals), where=sizes > 0)
    records["vectors"][:, 1:] = corners
    # A header that begins with "solid" would be taken for text.
    header = f"Vertecast {part.name}; SPACE=LPS; UNIT=mm".encode("ascii", "replace")[:80].ljust(80)
    with atomic_path(path) as temporary:
        temporary.write_bytes(header + struct.pack("<I", len(records)) + records.tobytes())
    return path


def write_gltf(path: Path, parts: tuple[Part, ...]) -> Path:
    """Write the surfaces as one binary glTF 2.0 scene.

    Positions stay in LPS millimetres relative to the scene's centre; the root node's matrix takes them to the metres
    and axes of glTF: left is +X, superior +Y, anterior +Z. ``extras`` of the root says where the centre is in LPS.

    Raises
    ------
    InputError
        If the name does not end in ``.glb`` or there is no surface.
    """
    if path.suffix != ".glb" or not parts:
        raise InputError(f"{path}: {len(parts)} surfaces; give at least one and a name that ends in .glb")
    means = np.array([part.mesh.points_lps.mean(axis=0) for part in parts])
    centre: NDArray[np.float64] = np.round(means.mean(axis=0), 3)
    root = np.eye(4)
    root[:3, :3] = GLTF_FROM_LPS_MM
    scene: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "Vertecast; research and education, not a medical device"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {
                "name": "LPS mm",
                "matrix": root.T.ravel().tolist(),
                "children": list(range(1, len(parts) + 1)),
                "extras": {"space": "LPS", "unit": "mm", "centre_lps_mm": centre.tolist()},
            }
        ],
        "meshes": [],
        "accessors": [],
        "bufferViews": [],
        "materials": [_material(kind) for kind in _COLOURS],
    }
    binary = bytearray()
    for part in parts:
        _add_part(scene, binary, part, centre)
    scene["buffers"] = [{"byteLength": len(binary)}]
    with atomic_path(path) as temporary:
        temporary.write_bytes(_packed(scene, bytes(binary)))
    return path


def _add_part(scene: dict[str, Any], binary: bytearray, part: Part, centre: NDArray[np.float64]) -> None:
    points = (part.mesh.points_lps - centre).astype("<f4")
    position = _accessor(scene, binary, points, {"componentType": _FLOAT, "type": "VEC3"}, _VERTICES)
    scene["accessors"][position] |= {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    normals = _smooth_normals(part.mesh).astype("<f4")
    normal = _accessor(scene, binary, normals, {"componentType": _FLOAT, "type": "VEC3"}, _VERTICES)
    faces = part.mesh.faces.astype("<u4").ravel()
    indices = _accessor(scene, binary, faces, {"componentType": _UNSIGNED, "type": "SCALAR"}, _INDICES)
    primitive = {
        "attributes": {"POSITION": position, "NORMAL": normal},
        "indices": indices,
        "material": list(_COLOURS).index(part.kind),
    }
    scene["meshes"].append({"name": part.name, "primitives": [primitive]})
    scene["nodes"].append({"name": part.name, "mesh": len(scene["meshes"]) - 1})


def _accessor(scene: dict[str, Any], binary: bytearray, array: NDArray[Any], kind: dict[str, Any], target: int) -> int:
    view = {"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes, "target": target}
    scene["bufferViews"].append(view)
    binary += array.tobytes()  # four bytes each, so that the next array is aligned
    scene["accessors"].append({"bufferView": len(scene["bufferViews"]) - 1, "count": len(array), **kind})
    return len(scene["accessors"]) - 1


def _smooth_normals(mesh: Mesh) -> NDArray[np.float64]:
    """Return the unit normal at each point, (n, 3): the mean of its triangles', by their area."""
    a, b, c = (mesh.points_lps[mesh.faces[:, k]] for k in range(3))
    normals = np.zeros_like(mesh.points_lps)
    for k in range(3):
        np.add.at(normals, mesh.faces[:, k], np.cross(b - a, c - a))
    sizes = np.linalg.norm(normals, axis=1, keepdims=True)
    unused = np.broadcast_to([0.0, 0.0, 1.0], normals.shape).copy()
    return np.asarray(np.divide(normals, sizes, out=unused, where=sizes > 0))


def _material(kind: str) -> dict[str, Any]:
    colour = list(_COLOURS[kind])
    look = {"baseColorFactor": colour, "metallicFactor": 0.0, "roughnessFactor": 0.6}
    made: dict[str, Any] = {"name": kind, "pbrMetallicRoughness": look}
    return made | ({"alphaMode": "BLEND", "doubleSided": True} if colour[3] < 1 else {})


def _packed(scene: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(scene, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, size) + chunks


def _outward(mesh: Mesh) -> Mesh:
    return mesh if mesh.volume >= 0.0 else Mesh(mesh.points_lps, mesh.faces[:, ::-1])
