"""Files that appear when they are whole: what is written in their place until then goes if writing fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sightsound.contract.errors import SightsoundError


def writable(file: str | os.PathLike[str]) -> None:
    """Raises `SightsoundError` where `draft` could not write, before there is anything to write."""
    folder = Path(file).absolute().parent
    if not folder.is_dir():
        raise _refused(file, "No such file or directory")
    if not os.access(folder, os.W_OK):
        raise _refused(file, "Permission denied")


@contextlib.contextmanager
def draft(file: str | os.PathLike[str]) -> Iterator[Path]:
    """A path of the same suffix beside `file` to write to, which takes its name at the end. A device or a pipe
    (/dev/stdout) is written itself, for it must not be replaced.

    Raises `SightsoundError` where it cannot be written; a `file` that was there before stays then.
    """
    whole = Path(file)
    strange = whole.exists() and not whole.is_file()
    part = whole if strange else whole.with_name(f"{whole.stem}.{os.getpid()}.part{whole.suffix}")
    try:
        yield part
        if part != whole:
            os.replace(part, whole)
    except OSError as error:
        raise _refused(file, error.strerror or str(error)) from error
    finally:
        if part != whole:
            with contextlib.suppress(OSError):
                part.unlink()


def _refused(file: str | os.PathLike[str], why: str) -> SightsoundError:
    return SightsoundError(f"{os.fspath(file)}: cannot be written ({why}); name another place")
