"""SavedModels as one file: packed the same way each time, and unpacked safely."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import platformdirs

from sightsound.plugin import SightsoundError

GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
FILES = (*GRAPHS, "tfhub_module.pb")
FOLDERS = ("variables", "assets")
"""What TensorFlow loads. Everything else, such as fingerprints and metadata of Keras, is not packed."""

LIMIT = 8 << 30
"""The bytes that an archive may contain: a network of two billion parameters, and no zip bomb of any size."""

MEMBERS = 10_000
_AT_ONCE = 1 << 26  # bytes that one read may ask for; longer ones are names that would fill the memory
_DATE = (1980, 1, 1, 0, 0, 0)
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError)


def is_model(folder: Path) -> bool:
    """Return whether a folder is a SavedModel."""
    return any((folder / name).is_file() for name in GRAPHS)


def stem(name: str, suffixes: tuple[str, ...]) -> str:
    """Return a file name without the first of several suffixes that it has."""
    for suffix in suffixes:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def find_model(folder: Path, source: str) -> Path:
    """Return the SavedModel in what an archive contained: the folder itself, or the only one in it.

    Raises `SightsoundError`, which begins with `source`, if there is none, or several.
    """
    found = [each for each in (folder, *sorted(folder.iterdir())) if is_model(each)]
    if len(found) != 1:
        raise SightsoundError(f"{source}: expected one SavedModel (saved_model.pb), got {len(found)}; name another")
    return found[0]


def pack(folder: Path, target: Path) -> None:
    """Write a SavedModel to one file, with the same bytes for the same content.

    Parameters
    ----------
    folder : pathlib.Path
        The SavedModel.
    target : pathlib.Path
        A zip file without compression.

    Raises
    ------
    SightsoundError
        If `folder` is none, or cannot be read.
    """
    if not is_model(folder):
        raise SightsoundError(f"{folder}: expected a SavedModel (a folder with saved_model.pb); name another folder")
    try:
        with zipfile.ZipFile(target, "w") as packed:
            for name in _names(folder):
                member = zipfile.ZipInfo(name, _DATE)
                member.create_system = 3  # Unix, on every system
                member.external_attr = 0o100644 << 16
                with (folder / name).open("rb") as file, packed.open(member, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
    except OSError as error:
        where = error.filename or folder
        raise SightsoundError(f"{where}: cannot be read ({error.strerror or error}); name another folder") from error


def _names(folder: Path) -> list[str]:
    """Return the names of the files that TensorFlow loads, with `/` between their parts, in order."""
    found = [name for name in FILES if (folder / name).is_file()]
    for top in FOLDERS:
        for place, below, names in os.walk(folder / top):
            paths = [Path(place, name) for name in (*below, *names)]
            if linked := [path for path in paths if path.is_symlink() and path.is_dir()]:
                raise SightsoundError(f"{linked[0]}: expected no link to a folder in a SavedModel; copy it there")
            found += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return sorted(found)


def unpack(file: Path, folder: Path) -> None:
    """Unpack an archive to a new folder.

    Parameters
    ----------
    file : pathlib.Path
        A tar file, compressed or not, or a zip file. Nothing but folders and plain files with relative names may be in
        it, with no more than `LIMIT` bytes.
    folder : pathlib.Path
        The folder to create.

    Raises
    ------
    SightsoundError
        If it is damaged, of another format, or unsafe.
    """
    folder.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            left = LIMIT
            for name, size, content in _members(file, stack):
                left -= size
                if left < 0:
                    raise ValueError(f"more than {LIMIT:,} bytes")
                _write(content, size, folder.joinpath(*_parts(name)))
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.filename not in (None, str(file)):
            raise SightsoundError(f"{error.filename}: cannot be written ({error.strerror}); free some space") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SightsoundError(f"{file}: expected an archive with a SavedModel, got: {reason}; get it again") from error


def _members(file: Path, stack: ExitStack) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name, size and content of the files in an archive."""
    if zipfile.is_zipfile(file):
        packed = stack.enter_context(zipfile.ZipFile(file))
        for count, entry in enumerate(packed.infolist()):
            _check_count(count)
            if not entry.is_dir():
                with packed.open(entry) as content:
                    yield entry.filename, entry.file_size, content
        return
    with _tar(file) as tar:
        for count, member in enumerate(tar):
            _check_count(count)
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name!r}, which is no plain file")
            _parts(member.name)
            if member.isfile():
                plain = tar.extractfile(member)
                assert plain is not None
                yield member.name, member.size, plain


def _check_count(count: int) -> None:
    if count >= MEMBERS:
        raise ValueError(f"more than {MEMBERS:,} files")


@contextmanager
def _tar(file: Path) -> Iterator[tarfile.TarFile]:
    with file.open("rb") as opened:
        zipped = opened.read(2) == b"\x1f\x8b"
    with gzip.open(file) if zipped else file.open("rb") as stream:
        bounded: Any = _Bounded(stream)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


class _Bounded:
    """A stream that refuses to read very much at once, as for a name of a gigabyte in a tar file."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _AT_ONCE:
            raise tarfile.ReadError("a header that is too long")
        data: bytes = self._stream.read(size)
        return data


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name in an archive. Raises `ValueError` if it leads out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or set(name) & set("\\:\0"):
        raise ValueError(f"{name!r}, which is no relative name")
    return path.parts


def _write(content: IO[bytes], size: int, target: Path) -> None:
    """Write a member of an archive. Raises `ValueError` if it is not as long as stated, or there already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise ValueError(f"{target.name!r} twice")
    with target.open("xb") as file:
        left = size
        while chunk := content.read(min(1 << 20, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            file.write(chunk)
    if left:
        raise ValueError(f"{target.name!r} with another size than stated; it is not complete")


def unpacked(file: Path) -> Path:
    """Return a SavedModel that was packed as a folder.

    It is `savedmodels/SHA-256` in the user's cache for sightsound (or in SIGHTSOUND_CACHE), and unpacked if it is not
    there, or not complete.

    Raises
    ------
    SightsoundError
        If the file is damaged or the folder cannot be written.
    """
    cache = Path(os.environ.get("SIGHTSOUND_CACHE") or platformdirs.user_cache_path("sightsound")) / "savedmodels"
    try:
        with file.open("rb") as stream:
            folder = cache / hashlib.file_digest(stream, "sha256").hexdigest()
        if _is_complete(folder, file):
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=cache) as place:
            made = Path(place, "model")
            unpack(file, made)
            shutil.rmtree(folder, ignore_errors=True)
            try:
                made.rename(folder)
            except OSError:  # another process was faster
                if not _is_complete(folder, file):
                    raise
    except OSError as error:
        raise SightsoundError(f"{cache}: cannot be written ({error.strerror}); set SIGHTSOUND_CACHE") from error
    return folder


def _is_complete(folder: Path, file: Path) -> bool:
    """Return whether the files of a packed SavedModel are in a folder, each with its size."""
    if not folder.is_dir():
        return False
    try:
        with zipfile.ZipFile(file) as packed:
            return all((folder / each.filename).stat().st_size == each.file_size for each in packed.infolist())
    except (OSError, zipfile.BadZipFile):
        return False
