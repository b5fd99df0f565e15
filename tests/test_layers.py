"""Who may import whom, read from the imports themselves; DESIGN.md's rules as one table."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "sightsound"

MAY_IMPORT: dict[str, str] = {
    # the nouns
    "errors": "",
    "types": "errors",
    "layers": "errors types",
    "hookspecs": "",
    "stages": "hookspecs types",
    "space": "errors types",
    "cores": "errors",
    "progress": "",
    "framing": "errors types",
    # files: media and weights know nothing of plugins or libraries
    "media": "errors",
    "cache": "errors types",
    "sources": "errors types",
    "weights": "cache errors sources types",
    "drafts": "errors",
    # plugins
    "model": "errors space types",
    "host": "errors hookspecs model space stages types weights",
    # files through a model; a walk passes over libraries by the name of their file
    "schema": "errors",
    "walk": "errors schema types",
    "pipeline": "cores errors framing media model types",
    "pooling": "errors types",
    "embedding": "drafts errors host layers media model pipeline pooling progress space types walk",
    "timing": "errors host pipeline types",
    # linear classifiers on rows of numbers
    "losses": "",
    "solver": "losses",
    "estimator": "errors",
    "folds": "errors",
    "neighbours": "cores errors types",
    "measures": "losses neighbours",
    "origin": "errors pooling space types",
    "probefile": "drafts errors",
    "targets": "estimator losses measures",
    "heldout": "folds losses measures",
    "probe": "errors estimator folds heldout losses measures origin probefile solver targets",
    "stack": "errors estimator folds losses measures origin probe probefile targets",
    "onnxfile": "drafts errors probe",
    "probed": "errors losses measures model origin probe types",
    "transformer": "embedding errors estimator host pooling types",
    # what a sound or a picture is: classes, the ontology over them, segments
    "ontology": "errors types weights",
    "classes": "errors ontology types",
    "segments": "classes errors types",
    "classifying": "classes errors framing host media model ontology pipeline segments types walk weights",
    "tagging": "classes classifying errors host media model pipeline probe probed progress segments types walk",
    "evaluation": "errors ontology types",
    "tracks": "tagging types",
    "plots": "drafts errors media types",
    # the library: SQLite and FAISS, of which no plugin and no media file knows
    "writer": "errors schema space types",
    "filters": "errors types",
    "library": "errors filters neighbours schema space types writer",
    "labels": "errors library types walk writer",
    "upkeep": "errors library types writer",
    "inventory": "errors library schema types",
    "checkup": "errors library schema types",
    # what a library has to teach, and what comes of it
    "dataset": "errors labels library origin pooling space types",
    "teaching": "dataset errors measures probe probed",
    "comparison": "dataset errors folds losses measures probe progress stack targets",
    "advice": "dataset errors measures neighbours probe progress stack teaching types",
    "charts": "comparison measures plots",
    "predicting": "embedding filters host library losses measures origin probe probed stack types",
    # both together
    "indexing": ("cores errors host labels library media pipeline progress segments space tagging types walk writer"),
    "searching": "errors filters host library media ontology pipeline space types walk",
    # for plugin authors
    "torch": "errors layers types",
    "testing": "errors framing hookspecs host model space types",
}
"""Each room and those it may import; a room stands below all that it may import. `cli` may import all but `torch`,
nothing imports `cli`, and `sightsound/__init__.py` imports rooms when one of its names is asked for."""

FRAMEWORKS = {"torch", "tensorflow", "keras", "librosa", "pandas", "timm", "torchvision", "torchaudio"}
"""What the host imports nowhere, not even inside a function; the room `torch` is for plugins."""

SLOW = {
    *FRAMEWORKS,
    "faiss",
    "safetensors",
    "sklearn",
    "soundfile",
    "soxr",
    "PIL",
    "av",
    "scipy",
    "tqdm",
    "matplotlib",
    "onnx",
    "wordcloud",
    "urllib3",
    "requests",
}
"""What is imported only inside the functions that need it."""

DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "faiss": "faiss-cpu", "ai_edge_litert": "ai-edge-litert"}
"""Names to import whose distribution is called otherwise."""


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name; where it stands, and whether it is run when its module is imported."""

    name: str
    where: str
    at_once: bool
    typing_only: bool


def imports(file: Path, package: str) -> Iterator[Import]:
    """Every import of a file, those inside functions and under TYPE_CHECKING too. Of `from a import b`, `a.b`."""
    yield from _imports(ast.parse(file.read_text("utf-8")), file, package, at_once=True, typing_only=False)


def _imports(node: ast.AST, file: Path, package: str, *, at_once: bool, typing_only: bool) -> Iterator[Import]:
    where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, where, at_once, typing_only) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        origin = ".".join([*parents, *filter(None, [node.module])])
        yield from (Import(f"{origin}.{alias.name}", where, at_once, typing_only) for alias in node.names)
    elif isinstance(node, ast.Call) and _named(node.func) == "import_module" and isinstance(node.args[0], ast.Constant):
        yield Import(str(node.args[0].value), where, at_once, typing_only)
    if isinstance(node, ast.If) and _named(node.test) == "TYPE_CHECKING":
        for child in node.body:
            yield from _imports(child, file, package, at_once=False, typing_only=True)
        below: list[ast.AST] = list(node.orelse)
    else:
        below = list(ast.iter_child_nodes(node))
    inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in below:
        yield from _imports(child, file, package, at_once=at_once and not inside, typing_only=typing_only)


def _named(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def modules(folder: Path) -> dict[str, Path]:
    """`sightsound.media.files` -> its file, for a package's folder or a module without one."""
    if not folder.is_dir():
        return {folder.name: folder.with_suffix(".py")}
    found = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def package_of(module: str, file: Path) -> str:
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


def room(module: str) -> str:
    """`sightsound.media.files.line` -> `media`; the package itself and its public names -> ``."""
    first = [*module.split("."), ""][1]
    return first if f"sightsound.{first}" in MODULES else ""


def of(module: str) -> list[Import]:
    return list(imports(MODULES[module], package_of(module, MODULES[module])))


MODULES = modules(SRC)
ROOMS = {room: set(may.split()) for room, may in MAY_IMPORT.items()}

PLUGINS = sorted([*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("examples/*/pyproject.toml")])
PACKAGES = {
    found.stem: file
    for file in PLUGINS
    for found in sorted(file.parent.glob("src/*"))
    if found.suffix == ".py" or (found / "__init__.py").is_file()
}
PLUGIN_MODULES = {
    name: file for package, at in PACKAGES.items() for name, file in modules(at.parent / "src" / package).items()
}
ENTRY_POINTS = {
    point.partition(":")[0]: file
    for file in PLUGINS
    for point in tomllib.loads(file.read_text())["project"]["entry-points"]["sightsound"].values()
}


# -- the table ---------------------------------------------------------------------------------------------------


def test_every_room_is_in_the_table():
    rooms = {room(module) for module in MODULES} - {"", "cli"}
    assert rooms == set(ROOMS)


def test_the_table_is_read_from_top_to_bottom():
    """So that nothing can go round in a circle: a room stands below all that it may import."""
    above: set[str] = set()
    for name, may in ROOMS.items():
        assert may <= above, f"{name} may import {sorted(may - above)}, which stand below it"
        above.add(name)


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) not in ("", "cli")])
def test_a_module_imports_only_what_its_room_may(module):
    here = room(module)
    for found in of(module):
        if found.name.split(".")[0] == "sightsound":
            assert room(found.name) in {here, *ROOMS[here]}, f"{found.where}: {here} may not import {found.name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_the_command_line_and_no_other_room_imports_torch(module):
    for found in of(module):
        assert room(module) == "torch" or not found.name.startswith("sightsound.torch"), found.where
        if room(module) != "cli":
            assert not found.name.startswith("sightsound.cli"), found.where


def test_the_package_itself_imports_no_room_at_once():
    assert not [found for found in of("sightsound") if found.at_once and found.name.startswith("sightsound")]


def test_every_command_imports_its_room_only_when_it_runs():
    """`--help` of one command need not read the library; of rooms, only errors are there from the start."""
    for module in MODULES:
        if room(module) == "cli":
            rooms = {room(found.name) for found in of(module) if found.at_once and found.name.startswith("sightsound")}
            assert rooms <= {"", "cli", "errors"}, module


# -- frameworks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_framework_is_imported_anywhere_in_the_host(module):
    if room(module) == "torch":
        return
    for found in of(module):
        assert found.name.split(".")[0] not in FRAMEWORKS, found.where


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_is_slow_to_import_is_imported_where_it_is_needed(module):
    allowed = {"torch"} if room(module) == "torch" else set()
    for found in of(module):
        if found.at_once:
            assert found.name.split(".")[0] not in SLOW - allowed, found.where


def test_every_room_can_be_imported_first():
    """One after the other in one process that forgets the package in between, so that no circle hides."""
    names = sorted(module for module in MODULES if room(module) != "torch")
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    for known in [m for m in sys.modules if m.split('.')[0] == 'sightsound']: del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
        f"print(*(set({sorted(SLOW)}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr + done.stdout


# -- plugins -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(PLUGIN_MODULES))
def test_a_plugin_imports_sightsound_its_own_framework_and_no_other_plugin(module):
    """Its own framework is what its pyproject.toml depends on."""
    own = module.split(".")[0]
    depends = dependencies(PACKAGES[own])
    for found in imports(PLUGIN_MODULES[module], package_of(module, PLUGIN_MODULES[module])):
        top = found.name.split(".")[0]
        assert top == own or top not in PACKAGES, f"{found.where}: {found.name} is another plugin's"
        if top not in sys.stdlib_module_names and top not in (own, "sightsound"):
            name = DISTRIBUTIONS.get(top, top).lower().replace("_", "-")
            assert name in depends, f"{found.where}: {top} is not among the dependencies {sorted(depends)}"


@pytest.mark.parametrize("module", sorted(PLUGIN_MODULES))
def test_a_plugin_uses_nothing_of_the_command_line_or_the_library(module):
    """It turns media into numbers; what is done with them is not its business."""
    beyond = {"cli", "library", "writer", "schema", "pipeline", "indexing", "searching", "embedding", "neighbours"}
    for found in imports(PLUGIN_MODULES[module], package_of(module, PLUGIN_MODULES[module])):
        if found.name.split(".")[0] == "sightsound":
            assert room(found.name) not in beyond, found.where


@pytest.mark.parametrize("module", sorted(ENTRY_POINTS))
def test_what_an_entry_point_names_imports_nothing_heavy_at_once(module):
    """Nor do the modules of its own package that it imports at once."""
    waiting, seen = [module], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
        for found in imports(PLUGIN_MODULES[name], package_of(name, PLUGIN_MODULES[name])):
            if found.at_once:
                assert found.name.split(".")[0] not in SLOW, found.where
                assert not found.name.startswith("sightsound.torch"), found.where
                waiting += [m for m in (found.name, found.name.rpartition(".")[0]) if m in PLUGIN_MODULES]


def test_the_entry_points_bring_no_framework_into_a_fresh_process():
    folders = sorted({str(file.parent / "src") for file in PLUGINS})
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])}
    code = (
        f"import importlib, sys\nfor name in {sorted(ENTRY_POINTS)}: importlib.import_module(name)\n"
        f"print(*(set({sorted(SLOW)}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr + done.stdout


def dependencies(file: Path) -> set[str]:
    """What a plugin may import: its own dependencies, and those of sightsound and of the extras that it asks for."""
    own = tomllib.loads(file.read_text())["project"]["dependencies"]
    host = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [*own, *host["dependencies"]]
    for text in own:
        if text.startswith("sightsound["):
            extras = text.partition("[")[2].partition("]")[0].split(",")
            found += [name for extra in extras for name in host["optional-dependencies"][extra.strip()]]
    return {distribution(text) for text in found}


def distribution(requirement: str) -> str:
    """`scikit-learn>=1.5` -> `scikit-learn`"""
    return "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0].lower().replace("_", "-")


# -- this test itself --------------------------------------------------------------------------------------------


def test_there_is_something_to_test(request):
    assert len(MODULES) > 20 and len(PLUGINS) >= 3 and len(PLUGIN_MODULES) >= len(PACKAGES) == len(PLUGINS)
    assert len(ENTRY_POINTS) >= 4 and set(ENTRY_POINTS) <= set(PLUGIN_MODULES)
    assert request.config.getini("empty_parameter_set_mark") == "fail_at_collect"


def test_the_reader_of_imports_misses_none(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "room.py"
    file.write_text(
        "import a, b.c as d\n"
        "from e import f as g, h\n"
        "from . import i\n"
        "from .j import k\n"
        "from ..l import m\n"
        "if TYPE_CHECKING:\n    import n\nelse:\n    import o\n"
        "if typing.TYPE_CHECKING:\n    import p\n"
        "try:\n    import q\nexcept ImportError:\n    pass\n"
        "class C:\n    import r\n    def method(self):\n        import s\n"
        "def function():\n    import t\n    importlib.import_module('u')\n"
        "later = lambda: importlib.import_module('v')\n"
        "w = importlib.import_module('w.x')\n"
    )
    found = list(imports(file, "top.middle"))
    at_once = {"a", "b.c", "e.f", "e.h", "top.middle.i", "top.middle.j.k", "top.l.m", "o", "q", "r", "w.x"}
    assert {i.name for i in found if i.at_once} == at_once
    assert {i.name for i in found if i.typing_only} == {"n", "p"}
    assert {i.name for i in found if not i.at_once and not i.typing_only} == {"s", "t", "u", "v"}
