"""Which wing may import which, read from the imports themselves and held against one table."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import import_graph
from import_graph import ROOT, SRC, Import, arrows, circle, graph, imports, modules, package_of, wing

MAY_IMPORT: dict[str, str] = {
    "contract": "",
    "_atomic": "contract",
    "_memory": "",
    "_progress": "",
    "_threads": "contract",
    "media": "_memory contract",
    "weights": "_atomic contract",
    "formats": "_atomic contract",
    "host": "_atomic _threads contract torch weights",
    "pipeline": "_atomic _progress _threads contract host media",
    "linear": "_atomic contract",
    "classify": "_progress contract formats host linear media pipeline weights",
    "library": "_atomic _progress _threads classify contract formats host media pipeline",
    "learn": "_atomic _progress _threads contract host library linear pipeline torch",
    "plot": "_atomic contract learn linear media",
    "plugin": "_threads contract media",
    "session": "classify contract host learn library pipeline",
    "testing": "_atomic _threads contract host media",
    "torch": "_atomic _memory _threads contract",
}
"""Each wing and those it may import, exactly: an import that is not in the table fails, and so does a permission that
nobody uses. `cli` may import all but `torch`, nothing imports `cli`, and `sightsound/__init__.py` imports modules when
one of its names is asked for."""

FRAMEWORKS = {"torch", "tensorflow", "keras", "librosa", "pandas", "timm", "torchvision", "torchaudio"}
"""What the host imports nowhere, not even inside a function; `sightsound.torch` is for plugins."""

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
    "pyarrow",
    "wordcloud",
    "urllib3",
    "requests",
}
"""What is imported only inside the functions that need it."""

ESTIMATORS = {"sightsound.learn.transformer", "sightsound.linear.probe", "sightsound.linear.stack"}
"""Modules whose classes inherit from those of scikit-learn and therefore import it at once; no other module may import
these at once."""

OF_TORCH = {
    "sightsound.cli.finetune",
    "sightsound.host.derived",
    "sightsound.host.torch_runtime",
    "sightsound.learn.finetune",
    "sightsound.learn.finetune_search",
    "sightsound.learn.training_set",
}
"""Modules that use the part for networks of torch, when they get one."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "open_clip": "open-clip-torch",
    "sklearn": "scikit-learn",
}
"""Names to import whose distribution is called otherwise."""


def of(module: str) -> list[Import]:
    return list(imports(MODULES[module], package_of(module, MODULES[module])))


MODULES = modules(SRC)
WINGS = {name: set(may.split()) for name, may in MAY_IMPORT.items()}

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


def test_every_wing_is_in_the_table():
    assert {wing(module) for module in MODULES} - {"", "cli"} == set(WINGS)


def test_a_wing_imports_what_the_table_allows_and_no_more():
    for (here, there), places in arrows().items():
        assert there in WINGS[here], f"{here} may not import {there}: {', '.join(places)}"


def test_every_permission_of_the_table_is_used():
    assert {(here, there) for here, may in WINGS.items() for there in may} == set(arrows())


def test_no_modules_import_one_another_in_a_circle():
    assert circle(graph(MODULES)) == []
    for package, file in PACKAGES.items():
        assert circle(graph(modules(file.parent / "src" / package))) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_no_class_is_longer_than_250_lines():
    for file in {**MODULES, **PLUGIN_MODULES}.values():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno is not None and node.end_lineno - node.lineno < 250, (file.name, node.name)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_the_command_line_and_few_others_import_torch(module):
    for found in of(module):
        allowed = wing(module) == "torch" or (module in OF_TORCH and not found.at_once)
        assert allowed or not found.name.startswith("sightsound.torch"), found.where
        if wing(module) != "cli":
            assert not found.name.startswith("sightsound.cli"), found.where


def test_the_package_itself_imports_no_module_at_once():
    assert not [found for found in of("sightsound") if found.at_once and found.name.startswith("sightsound")]


def test_a_command_imports_its_wing_only_when_it_runs():
    """`--help` of one command need not read the library; only errors and names of paths are imported at once."""
    for module in MODULES:
        if wing(module) == "cli":
            names = {found.name for found in of(module) if found.at_once and wing(found.name) not in ("", "cli")}
            light = ("sightsound.contract.errors.", "sightsound.contract.paths.")
            assert all(name.startswith(light) for name in names), (module, names)


# -- frameworks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_framework_is_imported_anywhere_in_the_host(module):
    if wing(module) == "torch":
        return
    for found in of(module):
        assert found.name.split(".")[0] not in FRAMEWORKS, found.where


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_is_slow_to_import_is_imported_where_it_is_needed(module):
    allowed = {"torch"} if wing(module) == "torch" else {"sklearn"} if module in ESTIMATORS else set()
    for found in of(module):
        if found.at_once:
            assert found.name.split(".")[0] not in SLOW - allowed, found.where


@pytest.mark.slow
def test_every_module_can_be_imported_first():
    """One after the other in one process that forgets the package in between, so that no circle hides."""
    names = sorted(module for module in MODULES if wing(module) != "torch" and module not in ESTIMATORS)
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


FOR_PLUGINS = ("sightsound.plugin.", "sightsound.torch.", "sightsound.testing.", "sightsound.Host.")
"""What a plugin may import from sightsound; each name ends in a dot, so that no other name begins like it."""

FAKE_PLUGINS = sorted((ROOT / "tests" / "dists").rglob("*.py"))


@pytest.mark.parametrize("module", sorted(PLUGIN_MODULES))
def test_a_plugin_imports_from_sightsound_only_what_is_for_plugins(module):
    for found in imports(PLUGIN_MODULES[module], package_of(module, PLUGIN_MODULES[module])):
        if found.name.split(".")[0] == "sightsound":
            assert f"{found.name}.".startswith(FOR_PLUGINS), f"{found.where}: {found.name}"


def test_the_fake_plugins_of_the_tests_import_only_what_is_for_plugins():
    assert FAKE_PLUGINS
    for file in FAKE_PLUGINS:
        for found in imports(file, ""):
            if found.name.split(".")[0] == "sightsound":
                assert f"{found.name}.".startswith(FOR_PLUGINS), f"{found.where}: {found.name}"


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
    """What a plugin may import: its own dependencies and extras, and those of sightsound that it asks for."""
    project = tomllib.loads(file.read_text())["project"]
    extras = {name: texts for name, texts in project.get("optional-dependencies", {}).items() if name != "test"}
    own = [*project["dependencies"], *(text for texts in extras.values() for text in texts)]
    host = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [*own, *host["dependencies"]]
    for text in own:
        if text.startswith("sightsound["):
            asked = text.partition("[")[2].partition("]")[0].split(",")
            found += [name for extra in asked for name in host["optional-dependencies"][extra.strip()]]
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
    monkeypatch.setattr(import_graph, "ROOT", tmp_path)
    file = tmp_path / "module.py"
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
