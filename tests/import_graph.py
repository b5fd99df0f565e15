"""The imports of a package, read from its source: which module imports which, and where."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "sightsound"


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name; where it stands, and whether it is run when its module is imported."""

    name: str
    where: str
    at_once: bool
    typing_only: bool


@functools.cache
def imports(file: Path, package: str) -> tuple[Import, ...]:
    """Every import of a file, those inside functions and under TYPE_CHECKING too. Of `from a import b`, `a.b`."""
    return tuple(_imports(ast.parse(file.read_text("utf-8")), file, package, at_once=True, typing_only=False))


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
    """`sightsound.media.safe_open` -> its file, for a package's folder or a module without one."""
    if not folder.is_dir():
        return {folder.name: folder.with_suffix(".py")}
    found = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def package_of(module: str, file: Path) -> str:
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


def wing(module: str) -> str:
    """`sightsound.media.files` -> `media`; the package itself and its public names -> ``."""
    first = [*module.split("."), ""][1]
    return first if (SRC / first).is_dir() or (SRC / f"{first}.py").is_file() else ""


def arrows() -> dict[tuple[str, str], list[str]]:
    """For each pair of different wings, the places where the first imports the second; without `cli`."""
    found: dict[tuple[str, str], list[str]] = {}
    for module, file in modules(SRC).items():
        here = wing(module)
        for each in imports(file, package_of(module, file)):
            there = wing(each.name) if each.name.split(".")[0] == "sightsound" else ""
            if here not in ("", "cli") and there not in ("", here):
                found.setdefault((here, there), []).append(each.where)
    return found


def graph(known: dict[str, Path]) -> dict[str, set[str]]:
    """For each module, the other modules among `known` that it imports, inside functions too."""
    found: dict[str, set[str]] = {}
    for module, file in known.items():
        names = [each.name for each in imports(file, package_of(module, file))]
        targets = {name if name in known else name.rpartition(".")[0] for name in names}
        found[module] = (targets & set(known)) - {module}
    return found


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle, or none."""
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for other in sorted(edges[module]):
            if found := search(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := search(module, []))), [])
