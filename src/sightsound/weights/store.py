"""Finds, fetches and verifies weight files; what a plugin loads came through here. A file is known by its SHA-256.

`cache.py` keeps what was fetched, `sources.py` does the fetching.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sightsound.contract.card import WeightFile
from sightsound.contract.errors import MissingWeights
from sightsound.weights.cache import SHA256, Cache, Kept, got, inside, remembered_sha256, wanted

State = Literal["present", "fetchable", "missing"]
log = logging.getLogger(__name__)
_SHA1 = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Found:
    """A local file, its full SHA-256, and whether that is the published one (or the git blob id was checked)."""

    path: Path
    sha256: str
    known: bool


class Store:
    """The places of weight files, in the order in which they are searched.

    `given` are the user's: `NAME=FILE`, a file (meant by its own name) or a folder. `folders` default to those of
    SIGHTSOUND_WEIGHTS; a file stands in a folder or one level below. `cache` defaults to the user's cache folder.
    `offline` defaults to SIGHTSOUND_OFFLINE and forbids fetching, by the hubs' own libraries in this process too.
    """

    def __init__(
        self,
        given: Iterable[str | Path] = (),
        *,
        folders: Iterable[str | Path] | None = None,
        cache: str | Path | None = None,
        offline: bool | None = None,
    ) -> None:
        parsed = [_given(text) for text in given]
        if folders is None:
            folders = filter(None, os.environ.get("SIGHTSOUND_WEIGHTS", "").split(os.pathsep))
        self.named = {name: path for name, path in parsed if name}
        self.folders = (*(path for name, path in parsed if not name), *(Path(f).expanduser() for f in folders))
        self.offline = os.environ.get("SIGHTSOUND_OFFLINE", "") not in ("", "0") if offline is None else offline
        self._cache = None if cache is None else Path(cache)
        if self.offline:
            stop_hubs()

    @functools.cached_property
    def cache(self) -> Cache:
        """What was fetched."""
        if self._cache is not None:
            return Cache(self._cache)
        import platformdirs

        return Cache(platformdirs.user_cache_path("sightsound") / "weights")

    def find(self, file: WeightFile) -> Found | None:
        """The file where it is on this machine, verified; a warning names files of its name that are not it.

        Raises `MissingWeights` where the file that the user gave cannot be read.
        """
        _check(file)
        if file.name in self.named:
            return _taken(self.named[file.name], file)
        places = [(path, wanted(file)) for path in self._in_folders(file)] + self.cache.candidates(file)
        return next((found for path, what in places if (found := _verified(path, file, what))), None)

    def get(self, file: WeightFile, *, model: str = "") -> Found:
        """The file, found or else fetched. `model` is what the error tells the user to get.

        Raises `MissingWeights` with every place that was searched and why each source failed.
        """
        reasons: list[str] = []
        found = self.find(file) or self._fetched(file, reasons)
        if found is None:
            raise self.missing(file, reasons, model=model)
        return found

    def state(self, file: WeightFile) -> State:
        """By existence and size alone: nothing is hashed, no network is touched."""
        from sightsound.weights.sources import obstacle

        paths = [*self._in_folders(file), *(path for path, _ in self.cache.candidates(file))]
        if file.name in self.named or any(_fits(path, file) for path in paths):
            return "present"
        return "fetchable" if not self.offline and not all(map(obstacle, file.sources)) else "missing"

    def verify(self) -> Iterator[Kept]:
        """Every file of the cache, hashed anew."""
        return self.cache.verify()

    def missing(self, file: WeightFile, reasons: Iterable[str] = (), *, model: str = "") -> MissingWeights:
        """The error for a file that `find` did not find: what it is, where it was sought, and what to do."""
        places = [text for folder in self.folders for text in _described(folder, file)]
        cached = "cache, with another or damaged file" if self.cache.candidates(file) else "cache"
        places = [*(places or ["SIGHTSOUND_WEIGHTS (no folder)"]), f"{self.cache.folder} ({cached})"]
        command = f"`sightsound weights get {model or file.name}`"
        steps = [f"run {command}", f"give --weights {file.name}=PATH"]
        if not file.sources:
            reasons, steps = ["no source is known"], steps[1:]
        elif self.offline:
            reasons, steps[0] = ["not fetched (offline)"], f"unset SIGHTSOUND_OFFLINE and run {command}"
        what = wanted(file) or "a file of any hash"
        parts = [f"{file.name}: expected {what}, found none", f"looked in {', '.join(places)}", *reasons]
        return MissingWeights("; ".join([*parts, " or ".join(steps)]))

    def _in_folders(self, file: WeightFile) -> list[Path]:
        return [path for folder in self.folders for path in inside(folder, file.name)]

    def _fetched(self, file: WeightFile, reasons: list[str]) -> Found | None:
        """From the first source that gives the right file; adds to `reasons` why the others did not."""
        if self.offline or not file.sources:
            return None
        try:
            with self.cache.fetching(file) as work:
                for path, what in self.cache.candidates(file):  # another process brought it while this one waited
                    if found := _verified(path, file, what):
                        return found
                tries = (self._tried(source, work / file.name, file, reasons) for source in file.sources)
                return next(filter(None, tries), None)
        except OSError as error:
            raise MissingWeights(
                f"{file.name}: cannot be kept in {self.cache.folder} ({error.strerror or error}); "
                f"make room there or make it writable, or give --weights {file.name}=PATH"
            ) from error

    def _tried(self, source: str, target: Path, file: WeightFile, reasons: list[str]) -> Found | None:
        from sightsound.weights.sources import (  # brings urllib and zipfile, which a plain run does not need
            Unavailable,
            fetch,
        )

        try:
            fetch(source, target, file.size)
        except Unavailable as error:
            reasons.append(f"{source}: {error}")
            return None
        what, hint = wanted(file), ""
        if not what and (seen := self.cache.first_seen(file)):
            what, hint = f"SHA-256 {seen}", f" (as first fetched; remove {self.cache.note(file)} to forget it)"
        if what and got(target, file) != what:
            reasons.append(f"{source}: expected {what}{hint}, got {got(target, file)}")
            log.warning("%s; removed", reasons[-1])
            return None
        digest = remembered_sha256(target)
        return Found(self.cache.keep(target, file), digest, bool(wanted(file)))


def stop_hubs() -> None:
    """Tells huggingface_hub, in this process and its children, to stay off the network; timm fetches through it.

    torch.hub and tensorflow_hub have no such switch.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    if "huggingface_hub.constants" in sys.modules:  # it reads the environment once, when imported
        vars(sys.modules["huggingface_hub.constants"])["HF_HUB_OFFLINE"] = True


def _given(text: str | Path) -> tuple[str, Path]:
    """`NAME=FILE` -> (name, file); a file -> (its name, file); a folder -> ("", folder). A path that exists wins."""
    path = Path(text).expanduser()
    if path.exists():
        return ("" if path.is_dir() else path.name), path
    name, _, rest = str(text).partition("=")
    if name and rest and (path := Path(rest).expanduser()).is_file():
        return name, path
    raise MissingWeights(f"--weights {text}: no such file; expected FOLDER, FILE or NAME=FILE")


def _check(file: WeightFile) -> None:
    """A card must not lead out of the cache, and a shortened hash is none."""
    if Path(file.name).name != file.name or file.name in ("", ".", ".."):
        raise MissingWeights(f"weight file {file.name!r}: expected a plain file name; ask the plugin's author")
    for field, form, digits in (("sha256", SHA256, 64), ("git_blob", _SHA1, 40)):
        text = getattr(file, field)
        if text and not form.fullmatch(text.lower()):
            raise MissingWeights(
                f"{file.name}: {field}: expected {digits} hexadecimal digits, got {text!r}; ask the plugin's author"
            )


def _taken(path: Path, file: WeightFile) -> Found:
    """The user's own file, whatever it is."""
    try:
        found = Found(path, remembered_sha256(path), got(path, file) == wanted(file))
    except OSError as error:
        raise MissingWeights(f"{path}: cannot be read ({error.strerror}); give another file") from error
    if wanted(file) and not found.known:
        _warned(f"{path}: expected {wanted(file)}, got {got(path, file)}; taken, as you named it")
    return found


def _verified(path: Path, file: WeightFile, what: str) -> Found | None:
    """The file at `path` if it is `what` it must be; a warning if not."""
    try:
        digest = remembered_sha256(path)
        is_what = got(path, file) if what == wanted(file) else f"SHA-256 {digest}"
    except OSError as error:
        return _warned(f"{path}: cannot be read ({error.strerror}); passed over")
    if what and is_what != what:
        return _warned(f"{path}: expected {what}, got {is_what}; passed over")
    return Found(path, digest, bool(wanted(file)))


@functools.cache
def _warned(text: str) -> None:
    """Once in a process, since a model's files are looked for more than once."""
    log.warning("%s", text)


def _described(folder: Path, file: WeightFile) -> list[str]:
    """For the error: the folder, or the files in it that have the name and another content."""
    if not folder.is_dir():
        return [f"{folder} (no such folder)"]
    return [f"{path} (another file)" for path in inside(folder, file.name)] or [str(folder)]


def _fits(path: Path, file: WeightFile) -> bool:
    try:
        return file.size in (0, path.stat().st_size)
    except OSError:
        return False
