"""Weight files from https addresses."""

from __future__ import annotations

import http.client
import importlib.metadata
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from sightsound.weights.transfer import LIMIT, TIMEOUT, Unavailable, copy, reason

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_web(url: str) -> bool:
    """Return whether an address is https, or plain http to this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        return bool(parts.hostname) and (parts.scheme == "https" or local)
    except ValueError:
        return False


def fetch_url(url: str, target: Path, size: int) -> None:
    """Fetch a file with the proxies and certificates of the environment (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).

    Parameters
    ----------
    url : str
        An address that `is_web`. Redirects to other addresses are refused.
    target : pathlib.Path
        The file to write.
    size : int
        The maximum number of bytes, 0 if unknown.

    Raises
    ------
    Unavailable
        If the server does not provide the file.
    OSError
        If `target` cannot be written.
    """
    agent = f"sightsound/{importlib.metadata.version('sightsound')}"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": agent, "Accept-Encoding": "identity"})
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(reason(error)) from error
    with response:
        length = response.length or 0
        done = copy(response.read, target, total=length or size, limit=size or LIMIT)
    if length and done != length:
        raise Unavailable(f"broke off after {done:,} of {length:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_web(newurl):
            raise Unavailable(f"redirects to {newurl}; expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
