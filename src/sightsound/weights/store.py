"""The store of weight files: search the user's files, then the cache, then fetch; verify what is found.

`cache.py` stores what was fetched, `sources.py` fetches, `hashes.py` identifies.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sightsound.contract.card import WeightFile
from sightsound.contract.errors import MissingWeights
from sightsound.contract.paths import PathLike
from sightsound.weights.cache import Cache, CachedFile, files_named
from sightsound.weights.hashes import SHA1, SHA256, actual, expected, is_published, remembered_sha256
from sightsound.weights.hub_setting import hubs_offline

State = Literal["present", "fetchable", "missing"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalFile:
    """A weight file on this machine.

    Parameters
    ----------
    path : pathlib.Path
        Where it is.
    sha256 : str
        Its SHA-256, 64 hexadecimal digits.
    known : bool
        Whether a complete published hash confirms its content.
    """

    path: Path
    sha256: str
    known: bool


class Store:
    """The places of weight files, in the order in which they are searched.

    Parameters
    ----------
    given : iterable of path-like
        The user's own: `NAME=FILE`, a file (for the weight file of the same name), or a folder.
    folders : iterable of path-like or None
        Folders that may contain the files, directly or one level deeper; by default those in SIGHTSOUND_WEIGHTS.
    cache : path-like or None
        Where fetched files are stored; by default `sightsound/weights` in the user's cache folder.
    offline : bool or None
        Whether to fetch nothing; by default whether SIGHTSOUND_OFFLINE is set to something other than 0.

    Raises
    ------
    MissingWeights
        If one of the user's own paths does not exist.
    """

    def __init__(
        self,
        given: Iterable[PathLike] = (),
        *,
        folders: Iterable[PathLike] | None = None,
        cache: PathLike | None = None,
        offline: bool | None = None,
    ) -> None:
        parsed = [_parse_given(text) for text in given]
        if folders is None:
            folders = filter(None, os.environ.get("SIGHTSOUND_WEIGHTS", "").split(os.pathsep))
        self.named = {name: path for name, path in parsed if name}
        self.folders = (*(path for name, path in parsed if not name), *(Path(f).expanduser() for f in folders))
        self.offline = os.environ.get("SIGHTSOUND_OFFLINE", "") not in ("", "0") if offline is None else offline
        self._cache = None if cache is None else Path(cache)

    @functools.cached_property
    def cache(self) -> Cache:
        """The cache of fetched files."""
        if self._cache is not None:
            return Cache(self._cache)
        import platformdirs

        return Cache(platformdirs.user_cache_path("sightsound") / "weights")

    def find(self, file: WeightFile) -> LocalFile | None:
        """Return the verified file if it is on this machine.

        Files of the same name with another content are ignored with a warning, unless the user named them for this
        weight file.

        Raises
        ------
        MissingWeights
            If the file that the user named cannot be read, or if the name or hash of `file` is invalid.
        """
        _check(file)
        if file.name in self.named:
            return _named_by_user(self.named[file.name], file)
        places = [(path, expected(file)) for path in self._in_folders(file)] + self.cache.candidates(file)
        return next((found for path, what in places if (found := _verified(path, file, what))), None)

    def get(self, file: WeightFile, *, model: str = "") -> LocalFile:
        """Return the verified file; fetch it if it is not on this machine.

        Parameters
        ----------
        file : WeightFile
            What to get.
        model : str
            The model that needs it, for the advice in the error.

        Raises
        ------
        MissingWeights
            If it is neither found nor fetched; the text lists every place and why each source failed.
        """
        reasons: list[str] = []
        found = self.find(file) or self._fetched(file, reasons)
        if found is None:
            raise self.missing(file, reasons, model=model)
        return found

    def state(self, file: WeightFile) -> State:
        """Return whether a file is present, fetchable or missing, judged by existence and size, without the network."""
        from sightsound.weights.sources import obstacle

        paths = [*self._in_folders(file), *(path for path, _ in self.cache.candidates(file))]
        if file.name in self.named or any(_has_size(path, file) for path in paths):
            return "present"
        return "fetchable" if not self.offline and not all(map(obstacle, file.sources)) else "missing"

    def loading(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which plugins load networks: no hub is used if this store is offline."""
        return hubs_offline() if self.offline else contextlib.nullcontext()

    def verify(self) -> Iterator[CachedFile]:
        """Yield every file of the cache with its hash computed anew."""
        return self.cache.verify()

    def missing(self, file: WeightFile, reasons: Iterable[str] = (), *, model: str = "") -> MissingWeights:
        """Return the error for a file that `find` did not find.

        Parameters
        ----------
        file : WeightFile
            What was searched for.
        reasons : iterable of str
            Why each source failed.
        model : str
            The model that needs it.

        Returns
        -------
        MissingWeights
            It says what the file is, where it was searched for, and what to do.
        """
        places = [text for folder in self.folders for text in _described(folder, file)]
        cached = "cache, with another or damaged file" if self.cache.candidates(file) else "cache"
        places = [*(places or ["SIGHTSOUND_WEIGHTS (no folder)"]), f"{self.cache.folder} ({cached})"]
        command = f"`sightsound weights get {model or file.name}`"
        steps = [f"run {command}", f"give --weights {file.name}=PATH"]
        if not file.sources:
            reasons, steps = ["no source is known"], steps[1:]
        elif self.offline:
            reasons, steps[0] = ["not fetched (offline)"], f"unset SIGHTSOUND_OFFLINE and run {command}"
        elif reasons := list(reasons):
            steps[0] = "try again later"  # the command would fetch from the same sources
        what = expected(file) or "a file of any hash"
        parts = [f"{file.name}: expected {what}, found none", f"looked in {', '.join(places)}", *reasons]
        return MissingWeights("; ".join([*parts, " or ".join(steps)]))

    def _in_folders(self, file: WeightFile) -> list[Path]:
        return [path for folder in self.folders for path in files_named(file.name, folder)]

    def _fetched(self, file: WeightFile, reasons: list[str]) -> LocalFile | None:
        """Fetch from the first source that provides the right file; add to `reasons` why the others failed."""
        if self.offline or not file.sources:
            return None
        try:
            with self.cache.fetching(file) as work:
                for path, what in self.cache.candidates(file):  # another process may have fetched it meanwhile
                    if found := _verified(path, file, what):
                        return found
                attempts = (self._fetched_from(source, work / file.name, file, reasons) for source in file.sources)
                return next(filter(None, attempts), None)
        except OSError as error:
            raise MissingWeights(
                f"{file.name}: cannot be stored in {self.cache.folder} ({error.strerror or error}); "
                f"make room there or make it writable, or give --weights {file.name}=PATH"
            ) from error

    def _fetched_from(self, source: str, target: Path, file: WeightFile, reasons: list[str]) -> LocalFile | None:
        from sightsound.weights.sources import fetch  # imports urllib and zipfile
        from sightsound.weights.transfer import Unavailable

        try:
            fetch(source, target, file.size, complete=bool(expected(file)))
        except Unavailable as error:
            reasons.append(f"{source}: {error}")
            return None
        digest = remembered_sha256(target)
        comparisons = [(expected(file), actual(target, file), "")]
        if not is_published(file) and (seen := self.cache.first_seen(file)):
            hint = f" (as first fetched; remove {self.cache.note(file)} to forget it)"
            comparisons.append((f"SHA-256 {seen}", f"SHA-256 {digest}", hint))
        for what, got, hint in comparisons:
            if what and got != what:
                reasons.append(f"{source}: expected {what}{hint}, got {got}")
                log.warning("%s; removed", reasons[-1])
                return None
        return LocalFile(self.cache.store(target, file), digest, is_published(file))


def _parse_given(given: PathLike) -> tuple[str, Path]:
    """Return the name of the weight file and the path; the name is "" for a folder. An existing path is never split."""
    text = os.fspath(given)
    path = Path(text).expanduser()
    if path.exists():
        return ("" if path.is_dir() else path.name), path
    name, _, rest = text.partition("=")
    if name and rest and (path := Path(rest).expanduser()).is_file():
        return name, path
    raise MissingWeights(f"--weights {text}: no such file; expected FOLDER, FILE or NAME=FILE")


def _check(file: WeightFile) -> None:
    """Refuse a name that leads out of the cache, and an incomplete hash."""
    if Path(file.name).name != file.name or file.name in ("", ".", ".."):
        raise MissingWeights(f"weight file {file.name!r}: expected a plain file name; ask the plugin's author")
    for field, form, digits in (("sha256", SHA256, 64), ("git_blob", SHA1, 40)):
        text = getattr(file, field)
        if text and not form.fullmatch(text.lower()):
            raise MissingWeights(
                f"{file.name}: {field}: expected {digits} hexadecimal digits, got {text!r}; ask the plugin's author"
            )


def _named_by_user(path: Path, file: WeightFile) -> LocalFile:
    """Return a file that the user named, whatever its content is."""
    try:
        found = LocalFile(path, remembered_sha256(path), is_published(file) and actual(path, file) == expected(file))
    except OSError as error:
        raise MissingWeights(f"{path}: cannot be read ({error.strerror}); give another file") from error
    if expected(file) and actual(path, file) != expected(file):
        _warn_once(f"{path}: expected {expected(file)}, got {actual(path, file)}; used, since you named it")
    return found


def _verified(path: Path, file: WeightFile, what: str) -> LocalFile | None:
    """Return the file at `path` if its content is `what`; otherwise warn."""
    try:
        digest = remembered_sha256(path)
        content = actual(path, file) if what == expected(file) else f"SHA-256 {digest}"
    except OSError as error:
        _warn_once(f"{path}: cannot be read ({error.strerror}); ignored")
        return None
    if what and content != what:
        _warn_once(f"{path}: expected {what}, got {content}; ignored")
        return None
    return LocalFile(path, digest, is_published(file))


@functools.cache
def _warn_once(text: str) -> None:
    """Warn once in a process, since the files of a model are searched for several times."""
    log.warning("%s", text)


def _described(folder: Path, file: WeightFile) -> list[str]:
    """Return the texts for a folder in the error: the folder, or the files in it that have another content."""
    if not folder.is_dir():
        return [f"{folder} (no such folder)"]
    return [f"{path} (another file)" for path in files_named(file.name, folder)] or [str(folder)]


def _has_size(path: Path, file: WeightFile) -> bool:
    try:
        return file.size in (0, path.stat().st_size)
    except OSError:
        return False
