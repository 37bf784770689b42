"""The run folder: written whole or not at all, the manifest last."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError

MANIFEST = "manifest.json"
_FULL = {errno.ENOSPC, errno.EDQUOT}


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
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=out))
        yield staging
        _publish(staging, out)
        made = False
    except OSError as exc:
        raise _explained(exc, out) from exc
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON as the run folder keeps it: UTF-8, two spaces, no NaN, a newline at the end."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _publish(staging: Path, out: Path) -> None:
    files = sorted((p for p in staging.rglob("*") if p.is_file()), key=lambda p: (p.name == MANIFEST, p))
    for file in files:
        target = out / file.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)  # noqa: PTH105 -- the atomic one


def _explained(exc: OSError, out: Path) -> InputError:
    if exc.errno in _FULL:
        free = shutil.disk_usage(out if out.exists() else out.parent).free / 2**20
        return InputError(
            f"the disk of {out} is full ({free:.1f} MiB free); "
            "nothing was written, free some space or choose another --out"
        )
    if isinstance(exc, PermissionError):
        return InputError(f"{exc.filename or out} cannot be written (permission denied); choose another --out")
    return InputError(
        f"{exc.filename or out} cannot be written or read: {exc.strerror or exc}; check the path and --out"
    )
