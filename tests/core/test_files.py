"""Proves that a write is whole or not there: success, failure in the block, full disk (injected and real), folders."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "a.nii.gz") as temporary:
        assert temporary.name.endswith("a.nii.gz")
        temporary.write_text("whole")
        assert not (tmp_path / "new" / "a.nii.gz").exists()
    assert (tmp_path / "new" / "a.nii.gz").read_text() == "whole"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.nii.gz"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(ValueError, match="stop"), atomic_path(target) as temporary:
        temporary.write_text("ne")
        raise ValueError("stop")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence(tmp_path: Path, code: int) -> None:
    with (
        pytest.raises(InputError, match=r"a\.json cannot be written: the disk is full \(.* MiB free there\); free"),
        atomic_path(tmp_path / "a.json") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_exchanged_whole(tmp_path: Path) -> None:
    target = tmp_path / "case"
    target.mkdir()
    (target / "old").write_text("1")
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("2")
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["case"]


def test_a_file_in_the_way_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), atomic_path(tmp_path / "file" / "a.json") as temporary:
        temporary.write_text("x")


def test_a_real_full_disk(tmp_path: Path) -> None:
    mount = tmp_path / "tiny"
    mount.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs root and the right to mount a 1 MiB tmpfs")
    try:
        with pytest.raises(InputError, match="disk is full"), atomic_path(mount / "big.bin") as temporary:
            temporary.write_bytes(b"\1" * (4 << 20))
        assert list(mount.iterdir()) == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)
