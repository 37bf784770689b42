"""What a result came from: software versions, input digests, parameters used. Goes into every manifest."""

import hashlib
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from vertecast.core.parameters import ParameterUse

_REPORTED_PACKAGES = ("numpy", "scipy", "numba", "SimpleITK", "nibabel", "pydicom", "highdicom", "matplotlib", "vtk")


@dataclass(frozen=True, slots=True)
class InputDigest:
    """One input file by the SHA-256 of its bytes; a folder's digest covers its files in sorted order."""

    name: str
    sha256: str

    def as_json(self) -> dict[str, str]:
        """Return the manifest's form."""
        return {"name": self.name, "sha256": self.sha256}


def digest(path: Path) -> InputDigest:
    """Digest a file, or all files below a folder."""
    sha = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            sha.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                sha.update(block)
    return InputDigest(path.name, sha.hexdigest())


def software_versions() -> dict[str, str]:
    """Return the versions of this package, Python and what it computes with, as installed."""
    versions = {
        "vertecast": metadata.version("vertecast"),
        "python": platform.python_version(),
        "platform": sys.platform,
    }
    for name in _REPORTED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def merged_uses(uses: Iterable[ParameterUse]) -> list[dict[str, Any]]:
    """Return each parameter once, sorted by name, in the manifest's form."""
    unique = {(use.name, use.value, use.source): use for use in uses}
    return [unique[key].as_json() for key in sorted(unique, key=str)]
