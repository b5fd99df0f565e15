"""Opens a network in a process of its own first: OpenCV ends the process for some damaged files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sightsound.plugin import SightsoundError


def try_apart(files: Sequence[Path], shape: Sequence[int]) -> None:
    """Raise `SightsoundError` if OpenCV does not survive the files of a network. What is wrong otherwise is not said.

    Parameters
    ----------
    files : sequence of pathlib.Path
        The layers and the weights.
    shape : sequence of int
        Channels, height and width of the input.
    """
    if not sys.executable:  # Python is part of another program
        return
    code = "import sys; from sightsound_opencv.trial import main; main(sys.argv[1:])"
    words = ["x".join(map(str, shape)), *(os.fspath(file.absolute()) for file in files)]
    path = os.pathsep.join(filter(None, sys.path))
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if ended.returncode < 0 or ended.returncode > 2**30:  # a signal; on Windows an exception of the system
        names = " and ".join(file.name for file in files)
        raise SightsoundError(
            f"{names}: expected a network, but OpenCV crashes on it (code {ended.returncode}); is it complete?"
        )


def main(words: Sequence[str]) -> None:
    """Open the network of some files. Errors are left to the process that waits for this one."""
    from sightsound_opencv.network import Network

    shape, *files = words
    try:
        Network([Path(file) for file in files]).open([int(side) for side in shape.split("x")])
    except (SightsoundError, MemoryError):
        sys.exit(1)
