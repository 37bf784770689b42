"""What the stages of a run have done, kept in ``DIR/.stages``, so that an unchanged one is not done again.

A stage's part says under which key it was made, which files it wrote (with their digests) and what it adds to the
manifest. While an earlier stage is made again, the files of the later ones are parked beside their parts: the folder
never shows results of two different cases, and a stage whose key turns out the same gets its files back.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.core.parameters import data_file

STAGES = ".stages"
_LISTS = ("inputs", "parameters", "warnings", "skipped", "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one stage did.

    Parameters
    ----------
    key : digest of all that the stage depends on
    files : SHA-256 of each file it wrote, by its path below the run folder
    holds : what each file holds
    inputs, parameters, warnings, skipped, steps : its share of the manifest
    seconds, peak_memory_mib : what it took
    """

    key: str
    files: dict[str, str]
    holds: dict[str, str]
    inputs: tuple[dict[str, str], ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: tuple[dict[str, str], ...] = ()
    steps: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    peak_memory_mib: float = 0.0

    @property
    def output(self) -> str:
        """Digest of everything the stage wrote: what a later stage depends on."""
        return key_of(self.files)

    def as_json(self) -> dict[str, Any]:
        """Return the form it is kept in."""
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        taken = {"seconds": self.seconds, "peak_memory_mib": self.peak_memory_mib}
        return {"key": self.key, "files": self.files, "holds": self.holds, **lists, **taken}


@dataclass(frozen=True, slots=True)
class StageStore:
    """The kept parts of one run folder."""

    folder: Path

    def part(self, stage: str) -> Part | None:
        """Return what a stage did last; None when it never ended."""
        try:
            found = json.loads((self._home(stage) / "part.json").read_text(encoding="utf-8"))
            content: dict[str, Any] = {n: tuple(v) if n in _LISTS else v for n, v in found.items()}
            return Part(**content)
        except (OSError, json.JSONDecodeError, TypeError):
            return None

    def keep(self, stage: str, part: Part) -> None:
        """Keep what a stage did; from now on it counts as done."""
        with atomic_path(self._home(stage) / "part.json") as temporary:
            temporary.write_text(json.dumps(part.as_json(), ensure_ascii=False, indent=1), encoding="utf-8")

    def usable(self, stage: str, key: str) -> Part | None:
        """Return the part of a stage when its key is this one and its files are what it wrote; unparks them."""
        part = self.part(stage)
        if part is None or part.key != key:
            return None
        self._move(stage, part, back=True)
        whole = all(file_sha(self.folder / name) == sha for name, sha in part.files.items())
        return part if whole else None

    def park(self, stage: str) -> None:
        """Take a stage's files out of the folder, until it is known whether they are still true."""
        part = self.part(stage)
        if part is not None:
            self._move(stage, part, back=False)

    def drop(self, stage: str) -> None:
        """Forget a stage and remove its files."""
        part = self.part(stage)
        for name in part.files if part is not None else ():
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self._home(stage), ignore_errors=True)

    def _home(self, stage: str) -> Path:
        return self.folder / STAGES / stage

    def _move(self, stage: str, part: Part, *, back: bool) -> None:
        for name in part.files:
            ends = (self._home(stage) / "parked" / name, self.folder / name)
            source, target = ends if back else ends[::-1]
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)


def key_of(content: Any) -> str:
    """Return the digest of anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_sha(path: Path) -> str:
    """Return the SHA-256 of a file; empty when it is not there."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def package_digest() -> str:
    """Return the digest of this package's own code and data: results of another version are never reused."""
    root = Path(str(data_file("__init__.py"))).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def require_mine(folder: Path) -> None:
    """Refuse a folder that holds results of other commands; clear one of a run whose kept stages were deleted.

    Raises
    ------
    InputError
        If the folder has a manifest that no run wrote.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file() or (folder / STAGES).is_dir():
        return
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = {}
    if found.get("command") != "run":
        raise InputError(
            f"{folder} holds results of other commands; give `vertecast run` a folder of its own with --out"
        )
    for one in found["outputs"]:
        (folder / one["file"]).unlink(missing_ok=True)
