"""Weight files from https addresses."""

from __future__ import annotations

import http.client
import importlib.metadata
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightsound.weights import transfer
from sightsound.weights.transfer import LIMIT, TIMEOUT, Unavailable, copy, reason

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PAGE = (b"<!doctype html", b"<html")


def is_web(url: str) -> bool:
    """Return whether an address is https, or plain http to this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        return bool(parts.hostname) and (parts.scheme == "https" or local)
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine."""
    return urllib.parse.urlsplit(url).hostname in _LOOPBACK


def fetch_url(url: str, target: Path, size: int, *, complete: bool = True) -> None:
    """Fetch a file with the proxies and certificates of the environment (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).

    Parameters
    ----------
    url : str
        An address that `is_web`. Redirects to other addresses are refused, and redirects to this machine from another.
    target : pathlib.Path
        The file to write.
    size : int
        The maximum number of bytes, 0 if unknown.
    complete : bool
        Whether the caller can tell a complete file from a part of it. If not, an answer is refused that does not state
        its length.

    Raises
    ------
    Unavailable
        If the server does not provide the file, is too slow, or sends a web page instead.
    OSError
        If `target` cannot be written.
    """
    agent = f"sightsound/{importlib.metadata.version('sightsound')}"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": agent, "Accept-Encoding": "identity"})
        response = _opened(request)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(reason(error)) from error
    with response:
        length, limit = response.length or 0, size or LIMIT
        if length > limit:
            raise Unavailable(f"expected no more than {limit:,} bytes, got more")
        if response.length is None and not response.chunked and not complete:
            raise Unavailable("states no length, so a part of the file would pass for the whole")
        done = copy(_reader(response, length), target, total=length or size, limit=limit)
    if length and done != length:
        raise Unavailable(f"broke off after {done:,} of {length:,} bytes")
    with target.open("rb") as file:
        if file.read(1 << 10).lstrip().lower().startswith(_PAGE):
            raise Unavailable("gave a web page instead of the file")


def _opened(request: urllib.request.Request) -> Any:
    """Return the response when its headers are complete.

    They are awaited in another thread, since each byte renews the time limit of a socket.
    """
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=ask, name="sightsound-headers", daemon=True).start()
    try:
        answer = answers.get(timeout=transfer.PERIOD)
    except queue.Empty:
        raise Unavailable(f"no complete answer for {transfer.PERIOD:.0f} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _reader(response: Any, length: int) -> Callable[[int], bytes]:
    """Return a function that reads what has arrived, up to so many bytes, and no more than `length` in all."""
    left = length

    def read(count: int) -> bytes:
        nonlocal left
        if length and not left:
            return b""
        chunk: bytes = response.read1(min(count, left) if length else count)
        left -= len(chunk)
        return chunk

    return read


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_web(newurl):
            raise Unavailable(f"redirects to {newurl}; expected https")
        if is_loopback(newurl) and not is_loopback(req.full_url):
            raise Unavailable(f"redirects to {newurl} on this machine; expected another")
        fp.close()  # urllib would read its body, however long that is
        return super().redirect_request(req, fp, code, msg, headers, newurl)
