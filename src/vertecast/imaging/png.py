"""Write 8-bit grey pictures as PNG, with text fields; needs nothing beyond Python."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_png(pixels: NDArray[np.uint8], fields: Mapping[str, str] | None = None) -> bytes:
    """Encode (rows, columns) uint8 as a grey PNG; ``fields`` become text chunks."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or 0 in pixels.shape:
        raise InputError(f"a grey PNG needs a (rows, columns) uint8 array, got {pixels.dtype} {pixels.shape}")
    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    texts = [_chunk(b"iTXt", _text(key, value)) for key, value in (fields or {}).items()]
    lines = np.zeros((rows, columns + 1), np.uint8)
    lines[:, 1:] = pixels
    body = zlib.compress(lines.tobytes(), 6)
    return b"".join([_SIGNATURE, _chunk(b"IHDR", header), *texts, _chunk(b"IDAT", body), _chunk(b"IEND", b"")])


def write_png(path: Path, pixels: NDArray[np.uint8], fields: Mapping[str, str] | None = None) -> Path:
    """Write a grey PNG; see :func:`encode_png`."""
    path.write_bytes(encode_png(pixels, fields))
    return path


def _text(key: str, value: str) -> bytes:
    return key.encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf-8")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
