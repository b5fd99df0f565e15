"""How to install a package that a plugin cannot import."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, entry_points, requires

from sightsound.contract.hookspecs import PROJECT

_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Packages whose distribution is called otherwise."""


def how_to_install(error: BaseException, plugin: str) -> str:
    """Return `; install it: pip install ...` for an import that failed, "" for other errors.

    If an extra of the plugin's distribution has the package, that extra is named.
    """
    missing: BaseException | None = error
    while missing is not None and not isinstance(missing, ModuleNotFoundError):
        missing = missing.__cause__
    if missing is None or not missing.name:
        return ""
    root = missing.name.partition(".")[0]
    package = _DISTRIBUTIONS.get(root, root)
    for point in entry_points(group=PROJECT, name=plugin):
        if point.dist is not None and (extra := _extra_with(point.dist.name, package)):
            return f'; install it: pip install "{point.dist.name}[{extra}]"'
    return f"; install it: pip install {package}"


def _extra_with(distribution: str, package: str) -> str:
    """Return the extra of a distribution that requires a package, or ""."""
    try:
        requirements = requires(distribution) or []
    except PackageNotFoundError:
        return ""
    for text in requirements:
        name = re.split(r"[\s<>=!~;\[(]", text, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", text)
        if extra and _normal(name) == _normal(package):
            return extra[1]
    return ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
