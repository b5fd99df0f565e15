"""What the import, the registration and `load` of a plugin do, found in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from sightsound.contract import hookspecs

FRAMEWORKS = (
    *("torch", "torchvision", "torchaudio", "timm", "tensorflow", "keras", "tf_keras", "jax", "onnxruntime"),
    *("openvino", "faiss", "sklearn", "librosa", "numba", "pandas"),
)
"""What a plugin may import when it builds a network, but not before."""

_PROGRAM = """
import json, pathlib, sys, importlib, time, numpy, pluggy, sightsound.plugin
point, name, weights, *known = sys.argv[1:]
before, start = set(sys.modules), time.perf_counter()
module, _, path = point.partition(":")
plugin = importlib.import_module(module)
for name in filter(None, path.split(".")):
    plugin = getattr(plugin, name)
loads = {}
if hasattr(plugin, "register_embedders"):
    plugin.register_embedders(register=lambda card, load: loads.update({card.name: load}))
for hook in ("register_options", "register_runtimes"):
    if hasattr(plugin, hook):
        getattr(plugin, hook)(register=lambda *things: None)
seconds, registered = time.perf_counter() - start, set(sys.modules)
if name in loads:
    loads[name]("auto", {key: pathlib.Path(file) for key, file in json.loads(weights).items()})
both = [[each for each in known if each in new] for new in (registered - before, set(sys.modules) - registered)]
print("\\0" + json.dumps([*both, seconds]))
"""


@dataclass(frozen=True)
class Imported:
    """What the import and the registration of one entry point did, and `load` of a network that it registered.

    Attributes
    ----------
    point : str
        The entry point, `module` or `module:attribute`.
    frameworks, loaded : tuple of str
        Which of `FRAMEWORKS` it imported, and which `load` imported.
    printed : str
        What it wrote to standard output.
    seconds : float
        How long it took, after sightsound and NumPy were imported.
    error : str
        The last line of the error that ended it, "" without one.
    """

    point: str
    frameworks: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    printed: str = ""
    seconds: float = 0.0
    error: str = ""


def import_of(plugin: str, model: str, weights: Mapping[str, Path]) -> list[Imported]:
    """Return what the import of each entry point of a plugin does, and loading one of its models.

    Parameters
    ----------
    plugin : str
        The name of the entry points.
    model : str
        A name of a model. Nothing is loaded if the plugin registers no such name.
    weights : mapping of str to pathlib.Path
        The files of its weights.

    Returns
    -------
    list of Imported
        Empty for a plugin without an entry point.
    """
    points = [point for point in entry_points(group=hookspecs.PROJECT) if point.name == plugin]
    files = json.dumps({name: str(path) for name, path in weights.items()})
    return [_imported(point.value, model, files) for point in points]


def _imported(point: str, model: str, weights: str) -> Imported:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, point, model, weights, *FRAMEWORKS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        errors="replace",
    )
    printed, mark, report = ran.stdout.rpartition("\0")
    if ran.returncode or not mark:
        lines = ran.stderr.strip().splitlines() or [f"it ended with the code {ran.returncode}"]
        return Imported(point, printed=ran.stdout, error=lines[-1])
    frameworks, loaded, seconds = json.loads(report)
    return Imported(point, tuple(frameworks), tuple(loaded), printed, seconds)
