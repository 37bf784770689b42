"""Proves: the run folder is written whole or not at all: on an error, on a full disk, over an earlier run."""

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from vertecast.core.errors import InputError
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_files_appear_when_the_block_ends_well(tmp_path: Path) -> None:
    out = tmp_path / "a" / "run"
    with run_folder(out) as staging:
        write_json(staging / MANIFEST, {"x": 1})
        (staging / "pictures").mkdir()
        (staging / "pictures" / "L1.png").write_bytes(b"png")
        assert listing(out) == [staging.name, *(f"{staging.name}/{n}" for n in listing(staging))]
    assert listing(out) == ["manifest.json", "pictures", "pictures/L1.png"]
    assert json.loads((out / MANIFEST).read_text()) == {"x": 1}


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="broken"), run_folder(out) as staging:
        (staging / "half.json").write_text("{")
        raise RuntimeError("broken")
    assert listing(tmp_path) == []


def test_an_error_keeps_the_earlier_run(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run") as staging:
        write_json(staging / "spine.json", {"run": 1})
    with pytest.raises(InputError, match="second"), run_folder(tmp_path / "run") as staging:
        write_json(staging / "spine.json", {"run": 2})
        raise InputError("second failed")
    assert json.loads((tmp_path / "run" / "spine.json").read_text()) == {"run": 1}


def test_a_full_disk_is_said_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    sentence = r"run cannot be written: the disk is full \(.* MiB free there\); free some space"
    with pytest.raises(InputError, match=sentence), run_folder(tmp_path / "run") as staging:
        write_json(staging / "spine.json", {})
    assert listing(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a 1 MiB tmpfs needs root")
def test_a_full_file_system_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this system does not let root mount a tmpfs")
    try:
        with (
            pytest.raises(InputError, match=r"run cannot be written: the disk is full"),
            run_folder(disk / "run") as staging,
        ):
            (staging / "large.bin").write_bytes(b"0" * 2**21)
        assert listing(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="run is a file; give a folder"), run_folder(tmp_path / "run"):
        pass


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"x": float("nan")})
