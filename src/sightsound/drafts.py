"""Files that appear when they are whole: what is written in their place until then goes if writing fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sightsound.errors import SightsoundError


def writable(file: str | os.PathLike[str]) -> None:
    """Raises `SightsoundError` where `draft` could not write, before there is anything to write."""
    folder = Path(file).absolute().parent
    if not folder.is_dir():
        raise SightsoundError(f"{os.fspath(file)}: cannot be written (No such file or directory); name another place")
    if not os.access(folder, os.W_OK):
        raise SightsoundError(f"{os.fspath(file)}: cannot be written (Permission denied); name another place")


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
        why = error.strerror or str(error)
        raise SightsoundError(f"{os.fspath(file)}: cannot be written ({why}); name another place") from error
    finally:
        if part != whole:
            with contextlib.suppress(OSError):
                part.unlink()
