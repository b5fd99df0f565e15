"""The key of this user, with which indexes are signed. It is in the user's data folder, never in a library."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from sightsound.contract.errors import LibraryError

_BYTES = 32
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def key_file() -> Path:
    """Return the path of the key."""
    import platformdirs

    return platformdirs.user_data_path("sightsound") / "index.key"


def user_key(*, create: bool = False) -> bytes | None:
    """Return the key of this user, 32 random bytes.

    Parameters
    ----------
    create : bool, default=False
        Whether to make one if there is none.

    Returns
    -------
    bytes or None
        None if there is none that only this user can read.

    Raises
    ------
    LibraryError
        If one should be made and cannot be.
    """
    file = key_file()
    found = _read(file)
    if found is not None or not create:
        return found
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_name(f"index.{secrets.token_hex(8)}.part")
        try:
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
            with open(number, "wb") as opened:
                opened.write(secrets.token_bytes(_BYTES))
                opened.flush()
                os.fsync(number)
            if not os.path.lexists(file):
                with contextlib.suppress(FileExistsError):  # another process was faster
                    os.link(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise LibraryError(f"{file}: the key that signs indexes cannot be made ({error.strerror})") from error
    found = _read(file)
    if found is None:
        raise LibraryError(
            f"{file}: expected {_BYTES} bytes that only you can read, the key that signs indexes; remove the file"
        )
    return found


def _read(file: Path) -> bytes | None:
    try:
        number = os.open(file, os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        facts = os.fstat(number)
        mine = not hasattr(os, "geteuid") or (facts.st_uid == os.geteuid() and not facts.st_mode & 0o077)
        if not stat.S_ISREG(facts.st_mode) or not mine or facts.st_size != _BYTES:
            return None
        found = os.read(number, _BYTES)
        return found if len(found) == _BYTES else None
    except OSError:
        return None
    finally:
        os.close(number)
