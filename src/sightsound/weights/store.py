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
from sightsound.weights.hashes import SHA1, SHA256, actual, expected, identity, is_published, remembered_sha256
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
        Where fetched files are stored; by default `weights` in SIGHTSOUND_CACHE, or in the user's cache
        folder for sightsound.
    offline : bool or None
        Whether to fetch nothing; by default whether SIGHTSOUND_OFFLINE is set to something other than 0.

    Attributes
    ----------
    also : tuple of pathlib.Path
        More folders that may contain the files, after `folders`: that of imported models.

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
        self.also: tuple[Path, ...] = ()
        self._cache = None if cache is None else Path(cache)

    @functools.cached_property
    def cache(self) -> Cache:
        """The cache of fetched files."""
        if self._cache is not None:
            return Cache(self._cache)
        import platformdirs

        folder = os.environ.get("SIGHTSOUND_CACHE") or platformdirs.user_cache_path("sightsound")
        return Cache(Path(folder) / "weights")

    @property
    def compiled_folder(self) -> Path:
        """The folder of what runtimes have compiled of networks, beside that of fetched files; see `compiled_files`."""
        return self.cache.folder.parent / "compiled"

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
        return next((found for path, what in self._places(file) if (found := _verified(path, file, what))), None)

    def get(self, file: WeightFile, *, model: str = "", plugin: str = "") -> LocalFile:
        """Return the verified file; fetch it if it is not on this machine.

        Parameters
        ----------
        file : WeightFile
            What to get.
        model, plugin : str
            The model that needs it and its plugin, for the error.

        Raises
        ------
        MissingWeights
            If it is neither found nor fetched; the text lists every place and why each source failed.
        """
        reasons: list[str] = []
        found = self.find(file) or self._fetched(file, reasons)
        if found is None:
            raise self.missing(file, reasons, model=model, plugin=plugin)
        return found

    def state(self, file: WeightFile) -> State:
        """Return whether a file is present, fetchable or missing, judged by existence and size, without the network."""
        return self.examine(file)[0]

    def examine(self, file: WeightFile) -> tuple[State, str]:
        """Return the state of a file and what is wrong with its description, "" if nothing is.

        A file is read only if it has another size than the one that is stated, to tell which of them is wrong.
        """
        from sightsound.weights.sources import fetchable

        paths = [(path, what) for path, what in self._places(file) if path.is_file()]
        if file.name in self.named or any(_has_size(path, file) for path, _ in paths):
            return "present", ""
        for path, what in paths:
            if what and _has_content(path, file, what):
                problem = f"size: the card says {file.size:,} bytes, the right file has {path.stat().st_size:,}"
                return "present", f"{problem}; tell the plugin's author"
        return "fetchable" if not self.offline and any(map(fetchable, file.sources)) else "missing", ""

    def loading(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which plugins load networks: no hub is used if this store is offline."""
        return hubs_offline() if self.offline else contextlib.nullcontext()

    def verify(self) -> Iterator[CachedFile]:
        """Yield every file of the cache with its hash computed anew."""
        return self.cache.verify()

    def missing(
        self, file: WeightFile, reasons: Iterable[str] = (), *, model: str = "", plugin: str = ""
    ) -> MissingWeights:
        """Return the error for a file that `find` did not find.

        Parameters
        ----------
        file : WeightFile
            What was searched for.
        reasons : iterable of str
            Why each source failed.
        model, plugin : str
            The model that needs it, and its plugin.

        Returns
        -------
        MissingWeights
            It says what the file is, where it was searched for, and what to do.
        """
        from sightsound.weights.not_found import next_steps, places, reasons_offline

        reasons = list(reasons) or (reasons_offline(file) if self.offline else [])
        looked = ", ".join(places(file, (*self.folders, *self.also), self.cache))
        steps = next_steps(file, reasons, offline=self.offline, model=model, plugin=plugin)
        found = "others" if any("expected " in each and ", got " in each for each in reasons) else "none"
        named = model if model != file.name else ""
        owner = ", ".join(filter(None, [named, plugin and f"plugin {plugin}"]))
        what = f"{file.name} ({owner})" if owner else file.name
        head = f"{what}: expected {expected(file) or 'a file of any hash'}, found {found}"
        return MissingWeights("; ".join([head, f"looked in {looked}", *reasons, steps]))

    def _places(self, file: WeightFile) -> list[tuple[Path, str]]:
        """Return where a file may be on this machine, each with what its content must be."""
        places = [*self._in_folders(file), *_in_packages(file)]
        return [(path, expected(file)) for path in places] + self.cache.candidates(file)

    def _in_folders(self, file: WeightFile) -> list[Path]:
        return [path for folder in (*self.folders, *self.also) for path in files_named(file.name, folder)]

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
        from sightsound.weights.sources import fetch, in_package  # imports urllib and zipfile
        from sightsound.weights.transfer import Unavailable

        if (place := in_package(source)) is not None:  # `find` has read it in place
            reasons.append(f"{source}: expected {expected(file)}, got {actual(place, file)}")
            return None
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
        if identity(file) == "taken on first use" and not self.cache.first_seen(file):
            log.warning("%s: taken on first use: SHA-256 %s; later it must be the same", file.name, digest)
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


def _in_packages(file: WeightFile) -> list[Path]:
    """Return the places of a file in installed packages."""
    if not any(source.startswith("package:") for source in file.sources):
        return []
    from sightsound.weights.sources import in_package

    return [place for place in map(in_package, file.sources) if place is not None]


def _has_content(path: Path, file: WeightFile, what: str) -> bool:
    try:
        return (actual(path, file) if what == expected(file) else f"SHA-256 {remembered_sha256(path)}") == what
    except OSError:
        return False


def _has_size(path: Path, file: WeightFile) -> bool:
    try:
        return file.size in (0, path.stat().st_size)
    except OSError:
        return False
