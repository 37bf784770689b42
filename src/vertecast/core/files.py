"""Nothing half-written: a file or a folder gets its name only when it is whole."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vertecast.core.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; it takes the place of ``path`` when the block ends well.

    The block may make a file or a folder there. The temporary name keeps ``path``'s suffixes, so that libraries which
    choose a format by the name choose the right one. If the block fails, what it wrote is removed and ``path`` is what
    it was before. A folder that exists already is exchanged as a whole.

    Raises
    ------
    InputError
        If the disk is full or the folder cannot be written to; says the file and the free space.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _synced(temporary)
            _put_in_place(temporary, path)
    finally:
        _remove(temporary)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into a sentence with the remedy."""
    try:
        yield
    except OSError as exc:
        if _is_full(exc):
            raise InputError(
                f"{path} cannot be written: the disk is full ({_free_mib(path)} MiB free there); "
                "free some space or choose another folder"
            ) from exc
        if isinstance(exc, PermissionError | NotADirectoryError | IsADirectoryError | FileExistsError):
            raise InputError(
                f"{path} cannot be written: {exc.strerror or exc}; choose a folder that you may write to"
            ) from exc
        raise


def _is_full(exc: BaseException | None) -> bool:
    # Libraries raise their own OSError, without a number, from the one that has it.
    while exc is not None:
        if isinstance(exc, OSError) and exc.errno in _FULL:
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _synced(temporary: Path) -> None:
    # Some file systems report a full disk only when the data leave the cache.
    if temporary.is_file():
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())


def _put_in_place(temporary: Path, path: Path) -> None:
    if not (temporary.is_dir() and path.is_dir()):
        temporary.replace(path)
        return
    old = path.with_name(f".{uuid.uuid4().hex[:12]}-old-{path.name}")
    path.replace(old)
    try:
        temporary.replace(path)
    except OSError:
        old.replace(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif path.is_symlink() or path.exists():
        path.unlink()


def _free_mib(path: Path) -> str:
    folder = next((one for one in (path.parent, *path.parent.parents) if one.is_dir()), None)
    return "unknown" if folder is None else f"{shutil.disk_usage(folder).free / 2**20:.1f}"
