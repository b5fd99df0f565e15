"""Checks of the card, the import of the plugin, other plugins in its stages, and the golden file."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points

import numpy as np

from sightsound.contract import hookspecs
from sightsound.contract.card import Card
from sightsound.contract.paths import PathLike
from sightsound.testing.media import Media
from sightsound.testing.subject import TOLERANCE, Subject, distance, row_distance

FRAMEWORKS = (
    *("torch", "torchvision", "torchaudio", "timm", "tensorflow", "keras", "tf_keras", "jax", "onnxruntime"),
    *("openvino", "faiss", "sklearn", "librosa", "numba", "pandas"),
)
"""What a plugin may import when it loads a network, but not before."""

_IMPORT = """
import sys, importlib, numpy, pluggy, sightsound.plugin
before = set(sys.modules)
module, _, path = sys.argv[1].partition(":")
plugin = importlib.import_module(module)
for name in filter(None, path.split(".")):
    plugin = getattr(plugin, name)
if hasattr(plugin, "register_embedders"):
    plugin.register_embedders(register=lambda card, load: None)
print(*(name for name in sys.argv[2:] if name in set(sys.modules) - before))
"""


def card_survives_json(subject: Subject) -> str | None:
    """Check that the card written as JSON and read again is the same card."""
    card = subject.card
    advice = "use Python's own str, int, float and tuples, not NumPy numbers or lists"
    try:
        again = Card.from_json(card.to_json())
    except (TypeError, ValueError) as error:
        raise AssertionError(f"card: expected JSON, got {error}; {advice}") from error
    wrong = [field for field in vars(card) if getattr(again, field) != getattr(card, field)]
    assert not wrong, f"card: {', '.join(wrong)}: expected the same after JSON; {advice}"
    return None


def import_is_light(subject: Subject) -> str | None:
    """Check that import and registration of the plugin, which every command needs, import no framework."""
    points = [p for p in entry_points(group=hookspecs.PROJECT) if p.name == subject.model.plugin]
    if not points:
        return "not checked: the plugin was registered by hand, without an entry point"
    for point in points:
        ran = subprocess.run(
            [sys.executable, "-c", _IMPORT, point.value, *FRAMEWORKS],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"import of {point.value}: {ran.stderr.strip().splitlines()[-1]}"
        found = ran.stdout.split()
        assert not found, (
            f"import of {point.value}: expected no framework, got {', '.join(found)}; move its import into load, or "
            "into the methods that need it (`from sightsound import torch` counts as torch)"
        )
    return None


def same_numbers_plugins_keep_them(subject: Subject) -> str | None:
    """Check that installed stage plugins that declare `same_numbers = True` do not change the rows of this model."""
    in_its_stages = sorted({name for names in subject.model.others.values() for name in names})
    names = [row.name for row in subject.host.plugins if row.name in in_its_stages and row.same_numbers]
    if not names:
        return "no such stage plugin is installed"
    if not subject.repeatable:
        return "not checked: not the same twice"
    for plugin in names:
        bare = subject.without(plugin)
        for name, media in subject.media.items():
            expected = bare.answer(media)
            for turn in ("first", "second"):  # the second may come from a cache
                far = distance(subject.answer(media), expected)
                assert far <= TOLERANCE, (
                    f"stage plugin {plugin!r}, {name!r}, {turn} time: expected the rows of {subject.card.name} as they "
                    f"are, got {far:.2g} apart; drop its same_numbers = True and let stage_id(card) say what it does"
                )
    return None


def golden_file_agrees(subject: Subject) -> str | None:
    """Check that the model gives the rows in the golden file for the inputs in the golden file."""
    if subject.golden is None:
        return "no golden file given"
    stored = _read_golden(subject.golden)
    card, revision, tolerance = subject.card, int(stored["revision"]), float(stored["tolerance"])
    made = f"made by {stored['model']} revision {revision}" + (f" ({stored['about']})" if str(stored["about"]) else "")
    assert revision == card.revision, (
        f"golden file: expected revision {card.revision}, got one {made}; write it anew with testing.write_golden"
    )
    for key in (key.removeprefix("media/") for key in stored if key.startswith("media/")):
        found, expected = subject.answer(stored[f"media/{key}"]).embeddings, stored[f"embeddings/{key}"]
        assert found.shape == expected.shape, f"golden {key!r}: expected {expected.shape}, got {found.shape}; {made}"
        far = row_distance(found, expected)
        assert far <= tolerance, (
            f"golden {key!r}: expected rows within {tolerance:.2g}, got {far:.2g} apart; {made}; likely other weights, "
            "another preprocessing or a new version of a library; if it is meant, raise card.revision and write it anew"
        )
    return None


def _read_golden(file: PathLike) -> dict[str, Media]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
    except (AttributeError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise AssertionError(f"golden file: expected a file of testing.write_golden, got {error}") from error
    missing = {"model", "revision", "tolerance", "about"} - set(found)
    assert not missing, f"golden file: expected a file of testing.write_golden, got one without {sorted(missing)}"
    return found
