"""The manifest: what a run read, used, wrote and skipped. Everything outside ``run`` is the same for the same case."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vertecast.core.observer import Observer
from vertecast.core.parameters import ParameterUse
from vertecast.core.provenance import digest, merged_uses, software_versions
from vertecast.pipeline.memory import forget_peak, peak_mib

SCHEMA = "vertecast/manifest/1"
NOTICE = "Research and education; not a medical device."


@dataclass(slots=True)
class Record:
    """Collects, while a command runs, what its manifest will say."""

    command: str
    observer: Observer
    seed: int | None = None
    inputs: dict[str, Path] = field(default_factory=dict)
    uses: list[ParameterUse] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage and note the peak memory at its end."""
        self.observer.begin(name)
        forget_peak()
        start = time.perf_counter()
        yield
        seconds = round(time.perf_counter() - start, 3)
        self.steps.append({"name": name, "seconds": seconds, "peak_memory_mib": peak_mib()})

    def warn(self, sentence: str) -> None:
        """Keep a warning for the manifest and say it at once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            self.observer.warn(sentence)

    def skip(self, artefact: str, remedy: str) -> None:
        """Note an artefact that cannot be made here, with the remedy."""
        self.skipped.append({"artefact": artefact, "reason": remedy})
        self.warn(f"{artefact} skipped: {remedy}")

    def manifest(self, outputs: Mapping[str, str]) -> dict[str, Any]:
        """Return the manifest; ``outputs`` maps each file to what it holds."""
        return {
            "schema": SCHEMA,
            "notice": NOTICE,
            "command": self.command,
            "software": software_versions(),
            "inputs": [{"role": role, "sha256": digest(path).sha256} for role, path in self.inputs.items()],
            "seed": self.seed,
            "parameters": merged_uses(self.uses),
            "warnings": without_folders(self.warnings, self.inputs),
            "skipped": self.skipped,
            "outputs": [{"file": name, "holds": holds} for name, holds in sorted(outputs.items())],
            "run": {
                "started": self._started.isoformat(timespec="seconds"),
                "paths": {role: str(path.absolute()) for role, path in self.inputs.items()},
                "stages": self.steps,
            },
        }


def without_folders(sentences: Iterable[str], inputs: Mapping[str, Path]) -> list[str]:
    """Return sentences that name an input by its file alone: its folder may hold a name, and differs by machine."""
    folders = {str(one): path.name for path in inputs.values() for one in (path, path.absolute())}
    kept = []
    for sentence in sentences:
        for folder in sorted(folders, key=len, reverse=True):
            sentence = sentence.replace(folder, folders[folder])
        kept.append(sentence)
    return list(dict.fromkeys(kept))


@dataclass(frozen=True, slots=True)
class Written:
    """What a command wrote into a run folder, and what had to be left out."""

    folder: Path
    files: tuple[str, ...]
    skipped: tuple[dict[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the command's answer."""
        return {
            "folder": str(self.folder),
            "files": [{"file": name, "bytes": (self.folder / name).stat().st_size} for name in self.files],
            "skipped": list(self.skipped),
        }


def with_artefacts(before: dict[str, Any], now: dict[str, Any], tried: Callable[[str], bool]) -> dict[str, Any]:
    """Return a run's manifest with a later command's files, skips and seconds; all else stays as it is.

    ``tried`` tells the artefacts that the later command makes or skips anew, by name.
    """
    files = {one["file"]: one for one in (*before["outputs"], *now["outputs"])}
    names = {stage["name"] for stage in now["run"]["stages"]}
    return {
        **before,
        "skipped": [*(one for one in before["skipped"] if not tried(one["artefact"])), *now["skipped"]],
        "outputs": [files[name] for name in sorted(files)],
        "run": {
            **before["run"],
            "stages": [*(one for one in before["run"]["stages"] if one["name"] not in names), *now["run"]["stages"]],
        },
    }
