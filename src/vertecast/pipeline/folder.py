"""The run folder: written whole or not at all, the manifest last."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.files import disk_errors

MANIFEST = "manifest.json"


@contextmanager
def run_folder(out: Path) -> Iterator[Path]:
    """Yield a staging folder whose files become those of ``out`` when the block ends well.

    Files already in ``out`` that the block does not write stay; those it writes are replaced one by one, each
    atomically, ``manifest.json`` last, so that a reader who sees a manifest sees everything it lists.

    Raises
    ------
    InputError
        If ``out`` is a file, cannot be made or written, or the disk is full; ``out`` is then as it was.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for the results with --out")
    made = not out.exists()
    staging: Path | None = None
    try:
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=out))
            yield staging
            _publish(staging, out)
        made = False
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def write_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Write JSON as the run folder keeps it: UTF-8, two spaces, no NaN, a newline at the end."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _publish(staging: Path, out: Path) -> None:
    files = sorted((p for p in staging.rglob("*") if p.is_file()), key=lambda p: (p.name == MANIFEST, p))
    for file in files:
        target = out / file.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
