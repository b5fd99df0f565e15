"""Files that are damaged, foreign, or would run code: one clear line, and nothing runs."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

import sightsound_keras
from sightsound import Host, ModelSettings, SightsoundError, import_model


@pytest.fixture
def refused(importing: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """`refused(*files, **settings)` imports, and returns the one line that says why not."""

    def run(*files: Path, **settings: Any) -> str:
        with pytest.raises(SightsoundError) as caught:
            importing(*files, **settings)
        text = str(caught.value)
        assert "\n" not in text and len(text) < 600
        models = tmp_path / "models"
        assert not models.exists() or list(models.iterdir()) == []
        return text

    return run


def repacked(file: Path, target: Path, **members: str) -> Path:
    """Write a copy of a .keras file with other contents of some members."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.pop(name, None) or old.read(name))
        for name, text in members.items():
            new.writestr(name, text)
    return target


@pytest.fixture
def saved(tiny: Any, tmp_path: Path) -> Path:
    """The tiny network in the three formats, `net.keras`, `net.h5` and `net.json`; their folder."""
    tiny.save(tmp_path / "net.keras")
    tiny.save(tmp_path / "net.h5")
    (tmp_path / "net.json").write_text(tiny.to_json())
    return tmp_path


def layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    history = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32"}}
    history["config"]["keras_history"] = ["classes", 0, 0]  # type: ignore[index]
    nodes = [{"args": [history], "kwargs": {}}]
    found = {"class_name": kind, "module": module, "registered_name": None, "name": "evil", "inbound_nodes": nodes}
    return {**found, "config": {"name": "evil", **config}}


def code(marker: Path) -> dict[str, Any]:
    """A function as Keras writes it, which would make a file."""
    tools = importlib.import_module("keras.src.utils.python_utils")
    made = eval(f"lambda x: (open({str(marker)!r}, 'w'), x)[1]")
    value = tools.func_dump(made)
    return {"class_name": "__lambda__", "config": {"code": value[0], "defaults": None, "closure": None}}


EVIL = {
    "Lambda": lambda marker: layer("Lambda", function=code(marker)),
    "custom class": lambda marker: layer("Mine", "my_package.layers"),
    "class of another package": lambda marker: layer("Popen", "subprocess", args=["touch", str(marker)]),
    "function of Keras": lambda marker: layer("get_file", "keras.utils", fname="x", origin=str(marker)),
    "SavedModel": lambda marker: layer("TFSMLayer", filepath=str(marker)),
    "pickled module": lambda marker: layer("TorchModuleWrapper", module="gASVAAAA"),
    "file reader": lambda marker: layer("StringLookup", vocabulary="/etc/passwd"),
    "function as activation": lambda marker: layer(
        "Activation", activation={"class_name": "function", "module": "os", "config": "system"}
    ),
    "lambda as activation": lambda marker: layer("Activation", activation=code(marker)),
    "registered activation": lambda marker: layer(
        "Activation", activation={"class_name": "function", "module": "builtins", "config": "mine"}
    ),
    "operation of another module": lambda marker: layer("Add", "keras.src.utils.file_utils.x.Relu", x=code(marker)),
}


@pytest.mark.parametrize("format", ["keras", "h5", "json"])
@pytest.mark.parametrize("name", EVIL)
def test_what_could_run_code_is_refused(name: str, format: str, saved: Path, refused: Any) -> None:
    marker = saved / "marker"
    config = json.loads((saved / "net.json").read_text())
    config["config"]["layers"].append(EVIL[name](marker))
    config["config"]["output_layers"] = ["evil", 0, 0]
    file = saved / f"evil.{format}"
    if format == "keras":
        repacked(saved / "net.keras", file, **{"config.json": json.dumps(config)})
    elif format == "json":
        file.write_text(json.dumps(config))
    else:
        (saved / "net.h5").rename(file)
        with h5py.File(file, "r+") as opened:
            opened.attrs["model_config"] = json.dumps(config)
    text = refused(file)
    assert text.startswith(f"{file}: ") and "expected" in text
    assert not marker.exists()


def test_the_layer_that_is_refused_is_named(saved: Path, refused: Any) -> None:
    config = json.loads((saved / "net.json").read_text())
    config["config"]["layers"].append(layer("Lambda", function="x"))
    (saved / "evil.json").write_text(json.dumps(config))
    assert refused(saved / "evil.json") == (
        f"{saved / 'evil.json'}: layer evil: expected a layer of Keras that runs no code and reads no file, got Lambda"
    )


def test_a_class_that_the_program_has_registered_is_refused(keras: Any, saved: Path, refused: Any) -> None:
    @keras.saving.register_keras_serializable("mine")
    class Dense(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, units: int, **more: Any) -> None:
            raise AssertionError("code of another")

    config = json.loads((saved / "net.json").read_text())
    own = {**layer("Dense", "mine"), "registered_name": "mine>Dense", "config": {"name": "evil", "units": 2}}
    config["config"]["layers"].append(own)
    config["config"]["output_layers"] = ["evil", 0, 0]
    (saved / "evil.json").write_text(json.dumps(config))
    with pytest.raises(Exception, match="code of another"):
        keras.models.model_from_json((saved / "evil.json").read_text())
    host = Host(installed=False)
    host.register(sightsound_keras, "keras")
    card = import_model(saved / "evil.json", ModelSettings(name="mine"), host=host)
    assert card.dim == 2  # Keras's own layer of this name


@pytest.mark.parametrize("format", ["keras", "h5", "json"])
@pytest.mark.parametrize("part", [0, 10, 0.5, -20])
def test_a_truncated_file(part: float, format: str, saved: Path, refused: Any) -> None:
    file = saved / f"net.{format}"
    content = file.read_bytes()
    file.write_bytes(content[: part if isinstance(part, int) else int(part * len(content))])
    assert refused(file).startswith(f"{file}: expected")


@pytest.mark.parametrize("format", ["keras", "h5", "json"])
@pytest.mark.parametrize("content", ["pickle", "noise", "picture"])
def test_a_foreign_file(content: str, format: str, saved: Path, refused: Any) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(saved / "marker"), "w"))

    contents = {"pickle": pickle.dumps(Evil()), "noise": bytes(range(256)) * 8, "picture": b"\x89PNG\r\n\x1a\n" * 9}
    file = saved / f"net.{format}"
    file.write_bytes(contents[content])
    assert refused(file).startswith(f"{file}: expected")
    assert not (saved / "marker").exists()


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "assets/a.txt", "model.weights.h5/../../evil"])
def test_an_archive_with_other_names(name: str, saved: Path, refused: Any) -> None:
    file = repacked(saved / "net.keras", saved / "evil.keras", **{name: "x"})
    assert refused(file) == f"{file}: expected config.json, metadata.json, model.weights.h5, got {name!r} too"


def test_an_archive_that_unpacks_to_much_more(saved: Path, refused: Any) -> None:
    file = saved / "bomb.keras"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", (saved / "net.json").read_text())
        archive.writestr("model.weights.h5", bytes(2**26))
    assert refused(file).startswith(f"{file}: expected at most 67,108,864 bytes for a file of its size, got 67,1")


def test_an_archive_without_a_member(saved: Path, refused: Any) -> None:
    file = saved / "half.keras"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", (saved / "net.json").read_text())
    assert refused(file).startswith(f"{file}: expected")


def test_data_that_say_to_be_much_more(saved: Path, refused: Any) -> None:
    with h5py.File(saved / "net.h5", "r+") as opened:
        opened.create_dataset("more", (2**30,), "f4", chunks=(2**20,))
    assert "expected at most" in refused(saved / "net.h5")


@pytest.mark.parametrize("kind", ["external link", "soft link", "external data", "virtual", "text"])
def test_references_in_a_file(kind: str, saved: Path, refused: Any) -> None:
    (saved / "secret").write_bytes(bytes(64))
    with h5py.File(saved / "net.h5", "r+") as opened:
        if kind == "external link":
            opened["more"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "soft link":
            opened["more"] = h5py.SoftLink("/model_weights")
        elif kind == "external data":
            opened.create_dataset("more", (16,), "f4", external=[(str(saved / "secret"), 0, 64)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(saved / "secret"), "x", (4,))
            opened.create_virtual_dataset("more", layout)
        else:
            opened["more"] = "a text"
    assert refused(saved / "net.h5").startswith(f"{saved / 'net.h5'}: 'more': expected ")


def test_files_that_do_not_belong_together(keras: Any, saved: Path, refused: Any, tmp_path: Path) -> None:
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(400, 3)])
    (saved / "other.json").write_text(other.to_json())
    with h5py.File(saved / "net.h5", "r+") as opened:
        del opened.attrs["model_config"]
    text = refused(saved / "net.h5", saved / "other.json")
    assert text == f"{saved / 'net.h5'}: expected 11,200 numbers for other.json, got {numbers(saved / 'net.h5')}"
    text = refused(saved / "net.h5")
    assert text == f"{saved / 'net.h5'}: has weights and no architecture; give its .json file too"
    small = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    (saved / "other.json").write_text(small.to_json())
    assert "expected the weights of mine, got others: Layer count mismatch" in refused(
        saved / "net.h5", saved / "other.json"
    )
    assert "expected one .keras, .h5 or .json file, or .h5 and .json, got .json, .keras" in refused(
        saved / "net.keras", saved / "net.json"
    )


def numbers(file: Path) -> int:
    found = []
    with h5py.File(file) as opened:
        opened.visititems(lambda name, item: found.append(getattr(item, "size", 0)))
    return sum(found)


def test_a_huge_network_without_its_numbers_takes_no_memory(keras: Any, saved: Path, refused: Any) -> None:
    config = json.loads((saved / "net.json").read_text())
    config["config"]["layers"][-1]["config"]["units"] = 10**10
    file = repacked(saved / "net.keras", saved / "huge.keras", **{"config.json": json.dumps(config)})
    assert re.search(
        r"huge.keras: expected 130,000,000,\d+ numbers for huge.keras, got \d+$|cannot build it", refused(file)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "feature"}, "expected the name of a layer, got 'feature'; the last are .*, features, dropout.*"),
        ({"labels": ("a",)}, "mine: labels: expected 3, one for each score, got 1"),
        ({"size": (20, 20)}, r"mine: size: expected 16 x 16 as the network has it, got \(20, 20\); see --size"),
        ({"channels": "gray"}, r"mine: expected images of 1 or 3 channels \(gray\), got \(16, 16, 3\)"),
        ({"rate": 8000}, r"mine: expected samples \(n,\), \(n, 1\) or \(1, n\), got \(16, 16, 3\)"),
        ({"output": "nothing", "labels": ("a",)}, "expected the name of a layer, got 'nothing'"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(settings: Any, message: str, saved: Path, importing: Any) -> None:
    with pytest.raises(SightsoundError, match=message):
        importing(saved / "net.keras", **settings)


def test_networks_with_several_inputs_or_outputs(keras: Any, tmp_path: Path, refused: Any, importing: Any) -> None:
    given = [keras.Input((8, 8, 3), name=name) for name in ("a", "b")]
    keras.Model(given, keras.layers.Add()(given)).save(tmp_path / "inputs.keras")
    assert "expected a network with one input, got 2" in refused(tmp_path / "inputs.keras")
    outputs = [keras.layers.Conv2D(count, 3, name=name)(given[0]) for name, count in (("x", 4), ("y", 5))]
    keras.Model(given[0], outputs).save(tmp_path / "outputs.keras")
    assert "got 2 outputs; the last are a, x, y" in refused(tmp_path / "outputs.keras")
    assert importing(tmp_path / "outputs.keras", embedding="y").card.dim == 5


def test_a_network_that_ends_in_no_classifier(keras: Any, tmp_path: Path, refused: Any) -> None:
    layers = keras.layers
    keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 8), layers.Flatten()]).save(tmp_path / "net.keras")
    assert "--embedding" in refused(tmp_path / "net.keras", labels=("a", "b", "c"))


# -- the framework -----------------------------------------------------------------------------------------------------


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    before = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    program = [sys.executable, "-c", script]
    return subprocess.run(program, env={**before, **environment}, capture_output=True, text=True, check=False)


LOADING = """
import os, sys
from sightsound_keras.backend import import_keras
try:
    import_keras()
except Exception as error:
    print(type(error).__name__, error)
print(sys.modules['keras'].backend.backend(), os.environ.get('KERAS_BACKEND'), 'tensorflow' in sys.modules)
"""


def test_keras_runs_on_torch_whatever_the_environment_says(keras: Any) -> None:
    assert run(LOADING, KERAS_BACKEND="tensorflow").stdout.split() == ["torch", "tensorflow", "False"]


@pytest.mark.parametrize(
    ("version", "backend", "message"),
    [
        (
            "3.15.1",
            "jax",
            "expected the backend torch, got jax, with which this program has imported it before; set KERAS_BA",
        ),
        ("2.15.0", "tensorflow", "expected version 3, got 2.15.0; pip install -U keras"),
    ],
)
def test_keras_on_another_backend_is_refused_in_one_line(
    version: str, backend: str, message: str, saved: Path, importing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("keras")
    other = SimpleNamespace(__version__=version, backend=SimpleNamespace(backend=lambda: backend), __spec__=spec)
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(SightsoundError, match=f"^keras: {message}"):
        importing(saved / "net.keras")


def test_no_network_of_this_plugin_imports_tensorflow(saved: Path) -> None:
    script = (
        "import sys, numpy, sightsound_keras\nfrom sightsound import Host, ModelSettings, import_model\n"
        "host = Host(installed=False)\nhost.register(sightsound_keras, 'keras')\n"
        "for file in sys.argv[1:]:\n    pass\n"
        f"for file in {[str(saved / name) for name in ('net.keras', 'net.h5', 'net.json')]}:\n"
        "    import_model(file, ModelSettings(name='mine'), host=host, replace=True)\n"
        "print(host.load('mine').rows(numpy.zeros((20, 20, 3), numpy.uint8))[1].shape, 'tensorflow' in sys.modules)"
    )
    done = run(script, SIGHTSOUND_MODELS=str(saved / "models"))
    assert done.stdout.strip() == "(1, 3) False", done.stderr


def test_without_keras_the_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "keras" else find(name, *more))
    with pytest.raises(SightsoundError, match="keras"):
        Host(installed=False).register(sightsound_keras, "keras")


def test_pixels_are_not_changed(importing: Any, saved: Path) -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    importing(saved / "net.keras").rows(image)
    assert (image == 100).all()
