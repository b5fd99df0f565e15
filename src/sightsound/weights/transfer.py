"""What all sources share: copy a stream to a file with a limit and a progress bar, and report why it failed."""

from __future__ import annotations

import http.client
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightsound.contract.errors import SightsoundError

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as unreachable."""

PERIOD = 60.0
"""Seconds after which a transfer of less than `SLOWEST` bytes is given up; also the time limit for the headers."""

SLOWEST = 60_000
"""Bytes in a `PERIOD`: a fifth of what a telephone modem transfers."""

LIMIT = 16 << 30
"""The maximum size in bytes of a file whose size is unknown: far above any network, far below a zip bomb."""

_CHUNK = 1 << 16
_READ_ERRORS = (OSError, http.client.HTTPException, zlib.error, zipfile.BadZipFile, EOFError)


class Unavailable(SightsoundError):
    """A source that does not provide the file; the text is the reason."""


def copy(read: Callable[[int], bytes], target: Path, *, total: int, limit: int) -> int:
    """Write a stream to a file, sync it, and return the number of bytes.

    Parameters
    ----------
    read : callable
        Returns up to so many bytes, and no bytes at the end.
    target : pathlib.Path
        The file to write.
    total : int
        The expected number of bytes for the progress bar, 0 if unknown.
    limit : int
        The maximum number of bytes.

    Raises
    ------
    Unavailable
        If `read` fails, gives no byte or more than `limit` bytes, or fewer than `SLOWEST` bytes in a `PERIOD`.
    OSError
        If `target` cannot be written.
    """
    done, began, before = 0, time.monotonic(), 0
    with progress_bar(target.name, total) as bar, target.open("wb") as file:
        while chunk := _chunk(read):
            done += len(chunk)
            if done > limit:
                raise Unavailable(f"expected no more than {limit:,} bytes, got more")
            file.write(chunk)
            bar.update(len(chunk))
            if (now := time.monotonic()) - began > PERIOD:
                if done - before < SLOWEST:
                    raise Unavailable(f"too slow: {done - before:,} bytes in {now - began:.0f} s")
                began, before = now, done
        if not done:
            raise Unavailable("gave an empty file")
        file.flush()
        os.fsync(file.fileno())
    return done


def progress_bar(label: str, total: int | None) -> Any:
    """Return a tqdm bar that counts bytes; it is drawn only on a terminal."""
    from tqdm import tqdm

    return tqdm(total=total or None, desc=label, unit="B", unit_scale=True, unit_divisor=1000, disable=None)


def reason(error: BaseException) -> str:
    """Return an error in one line; the inner error if urllib or huggingface_hub wrapped it."""
    inner = getattr(error, "reason", None)
    error = inner if isinstance(inner, BaseException) else error
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT:.0f} s"
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _chunk(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(_CHUNK)
    except _READ_ERRORS as error:
        raise Unavailable(reason(error)) from error
