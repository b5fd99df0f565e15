"""Files of approximate indexes: their names, what the database says of them, and whether they are this user's own.

FAISS trusts the files that it reads: a made up one can overwrite the memory of the process. A file is therefore read
only if it is the one that was written here, which its signature says: an HMAC with a key of this user over the row of
the database and over size, times, inode and first bytes of the file. An index holds nothing that is not in the rows, so
that one without a fitting signature is left alone, and the search is exact.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sightsound.contract.errors import LibraryError
from sightsound.library.store.segments import open_file
from sightsound.library.store.user_key import user_key

_VERSION = 1
_HEADER = 4096  # bytes at the beginning of a file that are signed
_FILE = re.compile(r"library\.(?P<name>[0-9a-f]{16})\.index")


@dataclass(frozen=True)
class StoredIndex:
    """A row of the table `indexes`.

    Parameters
    ----------
    space : int
        Number of the space.
    name : str
        Part of the name of the file.
    kind : str
        One of `kinds.KINDS`.
    stamp : str
        What it was built from, and the SHA-256 of the file: JSON of a `Stamp`.
    report : str
        Parameters and measured recall, JSON.
    signature : bytes
        Of all this and of the file.
    """

    space: int
    name: str
    kind: str
    stamp: str
    report: str
    signature: bytes = b""

    def signed(self, key: bytes, number: int) -> StoredIndex:
        """Return the row with the signature of an open file.

        Parameters
        ----------
        key : bytes
            The key of this user.
        number : int
            Descriptor of the file.
        """
        facts = os.fstat(number)
        header = hashlib.sha256(os.pread(number, _HEADER, 0)).hexdigest()
        texts = _VERSION, self.name, self.kind, self.stamp, self.report
        # the time of the last change of the inode is there because everybody can set that of the content
        numbers = facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
        message = json.dumps([*texts, *numbers, header]).encode()
        signature = hmac.digest(key, message, "sha256")
        return StoredIndex(self.space, self.name, self.kind, self.stamp, self.report, signature)


def index_file(folder: Path, name: str) -> Path:
    """Return the path of an index."""
    return folder / f"library.{name}.index"


def find_index_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name of an index and the path, for each file in a folder that is named like one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _FILE.fullmatch(entry.name)
            if match:
                yield match["name"], Path(entry.path)


@contextlib.contextmanager
def open_own(folder: Path, stored: StoredIndex) -> Iterator[int | None]:
    """Yield the descriptor of the file of an index if it is this user's own and unchanged, else None.

    Parameters
    ----------
    folder : pathlib.Path
        Where the file is.
    stored : StoredIndex
        What the database says of it, which nobody need have looked at.
    """
    key = user_key()
    texts = stored.name, stored.kind, stored.stamp, stored.report
    if key is None or not all(isinstance(text, str) for text in texts) or not isinstance(stored.signature, bytes):
        yield None
        return
    path = index_file(folder, stored.name)
    if not _FILE.fullmatch(path.name):
        yield None
        return
    try:
        number = open_file(path, os.O_RDONLY)
    except LibraryError:
        yield None
        return
    try:
        ours = hmac.compare_digest(stored.signed(key, number).signature, stored.signature)
        yield number if ours else None
    finally:
        os.close(number)


def sign(folder: Path, stored: StoredIndex) -> StoredIndex:
    """Return the row of an index with the signature of its file, which has been written and renamed.

    Raises
    ------
    LibraryError
        If the key of this user cannot be read or made.
    """
    key = user_key(create=True)
    assert key is not None
    number = open_file(index_file(folder, stored.name), os.O_RDONLY)
    try:
        return stored.signed(key, number)
    finally:
        os.close(number)
