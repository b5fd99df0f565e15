"""What the import and the registration of a plugin do, found in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points

from sightsound.contract import hookspecs

FRAMEWORKS = (
    *("torch", "torchvision", "torchaudio", "timm", "tensorflow", "keras", "tf_keras", "jax", "onnxruntime"),
    *("openvino", "faiss", "sklearn", "librosa", "numba", "pandas"),
)
"""What a plugin may import when it builds a network, but not before."""

_PROGRAM = """
import json, sys, importlib, time, numpy, pluggy, sightsound.plugin
before, start = set(sys.modules), time.perf_counter()
module, _, path = sys.argv[1].partition(":")
plugin = importlib.import_module(module)
for name in filter(None, path.split(".")):
    plugin = getattr(plugin, name)
for hook in ("register_embedders", "register_options", "register_runtimes"):
    if hasattr(plugin, hook):
        getattr(plugin, hook)(register=lambda *things: None)
seconds = time.perf_counter() - start
frameworks = [name for name in sys.argv[2:] if name in set(sys.modules) - before]
print("\\0" + json.dumps([frameworks, seconds]))
"""


@dataclass(frozen=True)
class Imported:
    """What the import and the registration of one entry point did.

    Attributes
    ----------
    point : str
        The entry point, `module` or `module:attribute`.
    frameworks : tuple of str
        Which of `FRAMEWORKS` it imported.
    printed : str
        What it wrote to standard output.
    seconds : float
        How long it took, after sightsound and NumPy were imported.
    error : str
        The last line of the error that ended it, "" without one.
    """

    point: str
    frameworks: tuple[str, ...] = ()
    printed: str = ""
    seconds: float = 0.0
    error: str = ""


def import_of(plugin: str) -> list[Imported]:
    """Return what the import of each entry point of a plugin does."""
    points = [point for point in entry_points(group=hookspecs.PROJECT) if point.name == plugin]
    return [_imported(point.value) for point in points]


def _imported(point: str) -> Imported:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, point, *FRAMEWORKS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        errors="replace",
    )
    printed, mark, report = ran.stdout.rpartition("\0")
    if ran.returncode or not mark:
        lines = ran.stderr.strip().splitlines() or [f"it ended with the code {ran.returncode}"]
        return Imported(point, printed=ran.stdout, error=lines[-1])
    frameworks, seconds = json.loads(report)
    return Imported(point, tuple(frameworks), printed, seconds)
