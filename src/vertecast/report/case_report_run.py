"""A run folder as the report reads it: what is there, parsed; what is not, said in a sentence. Nothing is computed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError, VertecastError
from vertecast.core.levels import Level
from vertecast.core.provenance import digest
from vertecast.imaging.grid import Grid
from vertecast.imaging.limits import load_limits
from vertecast.imaging.nifti import read_nifti
from vertecast.report.case_report_words import spoken

Document = dict[str, Any]

NO_CASE_ID = "case without an id"
DOCUMENTS = ("manifest", "spine", "indication", "plan", "simulation", "outcome")
_MADE_BY = {
    "manifest": "any command with --out",
    "spine": "`vertecast measure`",
    "indication": "`vertecast indicate`",
    "plan": "`vertecast plan`",
    "simulation": "`vertecast simulate`",
    "outcome": "`vertecast run`",
}


@dataclass(frozen=True, slots=True, eq=False)
class RunFolder:
    """The documents, events and fields of one run.

    Parameters
    ----------
    path : the folder
    documents : the parsed JSON files by stem, only those that exist
    events : the lines of ``events.jsonl``
    """

    path: Path
    documents: dict[str, Document]
    events: tuple[Document, ...]

    def document(self, name: str) -> Document:
        """Return one document; empty when the run has none."""
        return self.documents.get(name, {})

    @property
    def case_id(self) -> str:
        """The only name a report carries: the manifest's case id, or one drawn from the CT's digest."""
        manifest = self.document("manifest")
        if manifest.get("case_id"):
            return str(manifest["case_id"])
        inputs = {one["role"]: one["sha256"] for one in manifest.get("inputs", [])}
        sha = inputs.get("ct") or inputs.get("labels")
        return f"case-{sha[:8]}" if sha else NO_CASE_ID

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that were operated on, planned or judged, craniocaudally."""
        found: set[str] = set()
        for name in ("simulation", "plan", "indication", "outcome"):
            levels = self.document(name).get("levels")
            found |= set(levels) if isinstance(levels, dict) else set()
        return tuple(sorted(found, key=level_rank))

    def level(self, document: str, name: str) -> Document:
        """Return one level's part of a document; empty when it is not there."""
        levels = self.document(document).get("levels")
        one = levels.get(name) if isinstance(levels, dict) else None
        return one if isinstance(one, dict) else {}

    def vertebrae(self) -> tuple[Document, ...]:
        """Return the measured vertebrae of ``spine.json``, craniocaudally."""
        listed = self.document("spine").get("vertebrae", [])
        found = listed.values() if isinstance(listed, dict) else listed
        return tuple(sorted(found, key=lambda one: level_rank(str(one.get("level")))))

    def vertebra(self, name: str) -> Document:
        """Return one measured vertebra; empty when it is not there."""
        return next((one for one in self.vertebrae() if one.get("level") == name), {})

    def events_of(self, *kinds: str, level: str | None = None) -> Iterator[Document]:
        """Yield the events of some kinds, of one level or of all."""
        for event in self.events:
            if event.get("kind") in kinds and (level is None or event.get("level") == level):
                yield event

    def story(self) -> Iterator[Document]:
        """Yield the events that tell something: no progress, and of an inflation's steps only the last."""
        last = {
            (event.get("level"), event.get("side")): event.get("seq")
            for event in self.events
            if event.get("kind") == "inflation" and "pressure_bar" in (event.get("data") or {})
        }
        for event in self.events:
            stepped = event.get("kind") == "inflation" and "pressure_bar" in (event.get("data") or {})
            if event.get("kind") == "progress":
                continue
            if not stepped or event.get("seq") == last[event.get("level"), event.get("side")]:
                yield event

    def pictures(self, folder: str, stem: str) -> tuple[Path, ...]:
        """Return the PNGs of a subfolder whose names begin with ``stem``, sorted by name."""
        return tuple(sorted((self.path / folder).glob(f"{stem}*.png")))

    def field(self, level: str, stem: str) -> tuple[NDArray[np.float32], Grid] | None:
        """Return one field of a level with its grid; None when the run has none.

        Raises
        ------
        InputError
            If the file is there but damaged.
        """
        path = self.path / "fields" / level / f"{stem}.nii.gz"
        if not path.is_file():
            return None
        raster = read_nifti(path, load_limits())
        return np.asarray(raster.array, np.float32), raster.grid

    def input_path(self, role: str) -> tuple[Path | None, str]:
        """Return where an input is, checked to be the run's own; or None and the reason why not."""
        manifest = self.document("manifest")
        said = manifest.get("run", {}).get("paths", {}).get(role)
        if said is None:
            return None, f"the run names no {role}"
        path = Path(said)
        if not path.exists():
            gone = "are not where they were" if role.endswith("labels") else "is not where it was"
            return None, f"the run's {spoken(role)} {gone}"
        known = {one["role"]: one["sha256"] for one in manifest.get("inputs", [])}.get(role)
        if known is not None and digest(path).sha256 != known:
            return None, f"the run's {role} has changed since"
        return path, ""


def read_run_folder(path: Path) -> RunFolder:
    """Read the documents of a run folder.

    Raises
    ------
    InputError
        If the folder does not exist or holds none of a run's documents, or one of them is damaged.
    """
    if not path.is_dir():
        raise InputError(f"{path} is no folder; give the run folder that `vertecast run --out` or `plan --out` wrote")
    documents = {name: _parsed(path / f"{name}.json") for name in DOCUMENTS if (path / f"{name}.json").is_file()}
    if not set(documents) - {"manifest"}:
        raise InputError(
            f"{path} holds none of {', '.join(f'{name}.json' for name in DOCUMENTS[1:])}; give a run folder"
        )
    return RunFolder(path, documents, _events(path / "events.jsonl"))


def absent(name: str, what: str) -> str:
    """Return the sentence that stands where a document is missing."""
    return f"Not part of this run: {what} (no {name}.json; {_MADE_BY[name]} writes it)."


def level_rank(name: str) -> int:
    """Return the craniocaudal rank of a level's name; unknown names go last."""
    try:
        return Level(name).rank
    except ValueError:
        return len(Level)


def _parsed(path: Path) -> Document:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is not valid JSON ({exc}); run the command that wrote it again") from exc
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no object; run the command that wrote it again")
    return content


def _events(path: Path) -> tuple[Document, ...]:
    if not path.is_file():
        return ()
    events = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError as exc:
            raise InputError(f"{path}, line {number} is not valid JSON ({exc}); simulate again") from exc
        if not isinstance(event, dict) or "t_s" not in event:
            raise InputError(f"{path}, line {number} is no event; simulate again")
        events.append(event)
    return tuple(sorted(events, key=lambda one: (one["t_s"], one.get("seq", 0))))


READ_ERRORS = (VertecastError, OSError)
"""What reading an input of the run may raise: the report then says so and goes on."""
