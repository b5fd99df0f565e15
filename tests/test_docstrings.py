"""Every public name is documented: a summary, all parameters, what is returned, and only errors that exist."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sightsound
import sightsound.plugin
from sightsound.contract import errors

SRC = Path(sightsound.__file__).parent
SECTION = re.compile(r"^(?P<name>[A-Z][A-Za-z ]+)\n-{3,}\n(?P<body>(?:.*\n?)*?)(?=^[A-Z][A-Za-z ]+\n-{3,}\n|\Z)", re.M)


def public() -> Iterator[tuple[str, Any]]:
    """The public functions and classes by full name, and the public methods and properties of these classes."""
    named = {f"sightsound.{name}": getattr(sightsound, name) for name in sightsound.__all__}
    named |= {f"sightsound.plugin.{name}": getattr(sightsound.plugin, name) for name in sightsound.plugin.__all__}
    for name, found in named.items():
        if inspect.isfunction(found) or inspect.isclass(found):
            yield name, found
        if inspect.isclass(found):
            yield from ((f"{name}.{each}", member) for each, member in vars(found).items() if is_member(each, member))


def is_member(name: str, member: Any) -> bool:
    kinds = (property, classmethod, staticmethod)
    return not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, kinds))


PUBLIC = {name: getattr(found, "__func__", found) for name, found in public()}
CALLED = {
    name: found
    for name, found in PUBLIC.items()
    if not isinstance(found, property)
    and not (inspect.isclass(found) and (getattr(found, "_is_protocol", False) or issubclass(found, BaseException)))
}


def docstring(found: Any) -> str:
    """The docstring of this very object, not an inherited one."""
    return inspect.cleandoc(found.__doc__ or "")


def sections(found: Any) -> dict[str, str]:
    return {match["name"]: match["body"] for match in SECTION.finditer(docstring(found))}


def parameters(found: Callable[..., Any]) -> list[str]:
    """The names of the parameters as they are written, without `self` and `cls`."""
    given = inspect.signature(found).parameters.values()
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(each.kind, "") + each.name for each in given if each.name not in ("self", "cls")]


def entries(section: str) -> list[str]:
    """`window, hop : int` and the indented lines below it -> window, hop."""
    heads = [line.partition(" : ")[0] for line in section.splitlines() if line and not line.startswith(" ")]
    return [name.strip() for head in heads for name in head.split(",")]


@pytest.mark.parametrize("name", PUBLIC)
def test_the_first_line_is_one_sentence(name):
    first, *rest = docstring(PUBLIC[name]).splitlines() or [""]
    assert first.endswith(".") and not re.search(r"[.;:] [A-Z]", first), f"expected one sentence, got {first!r}"
    assert not rest or not rest[0], "expected an empty line after the first"


@pytest.mark.parametrize("name", CALLED)
def test_every_parameter_is_described(name):
    found = CALLED[name]
    wanted = parameters(found)
    if len(wanted) > 1:
        described = sections(found)
        body = (
            described.get("Parameters", "") or (dataclasses.is_dataclass(found) and described.get("Attributes")) or ""
        )
        missing = set(wanted) - set(entries(body))
        assert not missing, f"Parameters: expected {sorted(missing)} too"


@pytest.mark.parametrize("name", CALLED)
def test_the_section_of_parameters_describes_no_others(name):
    found = CALLED[name]
    surplus = set(entries(sections(found).get("Parameters", ""))) - set(parameters(found))
    assert not surplus, f"Parameters: {sorted(surplus)} are none"


@pytest.mark.parametrize("name", [name for name, found in CALLED.items() if not inspect.isclass(found)])
def test_what_a_function_returns_is_described(name):
    """In a section, or in the first line if the function has at most one parameter."""
    found = CALLED[name]
    returned = inspect.signature(found).return_annotation
    assert returned is not inspect.Signature.empty, "expected a return annotation"
    short = len(parameters(found)) < 2 and re.match(r"(Return|Yield)\b", docstring(found))
    if returned not in (None, "None", "NoReturn"):
        assert short or {"Returns", "Yields"} & set(sections(found)), "expected a section Returns or Yields"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_errors_that_are_named_exist(name):
    found = PUBLIC[name]
    module = inspect.getmodule(found.fget if isinstance(found, property) else found)
    for error in entries(sections(found).get("Raises", "")):
        places = [place for place in (builtins, errors, module) if hasattr(place, error)]
        assert places and issubclass(getattr(places[0], error), BaseException), f"Raises: there is no {error}"


def test_the_sections_are_found():
    """The checks above would accept everything if no section was recognised."""
    assert set(sections(sightsound.Host.load)) == {"Parameters", "Returns", "Raises"}
    assert entries(sections(sightsound.Host.load)["Parameters"]) == ["name", "device", "without", "only_words"]
    assert "window" in entries(sections(sightsound.Card)["Parameters"])


def test_no_two_public_classes_share_a_name():
    places = defaultdict(list)
    for file in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{file.relative_to(SRC)}:{node.lineno}")
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_every_public_name_is_what_its_module_defines():
    """`from .wing.module import name` in `__init__.pyi` names the module in which the name is defined."""
    tree = ast.parse((SRC / "__init__.pyi").read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(f"sightsound.{node.module}")
            for alias in node.names:
                found = getattr(module, alias.name)
                if inspect.isfunction(found) or inspect.isclass(found):
                    assert found.__module__ == module.__name__, f"{alias.name} is defined in {found.__module__}"
