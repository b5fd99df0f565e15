"""How to install a package that a plugin cannot import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, entry_points, requires

from sightsound.contract.hookspecs import PROJECT

_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Packages whose distribution is called otherwise."""


def how_to_install(error: BaseException, plugin: str) -> str:
    """Return `; install it: pip install ...` for an import that failed, "" for other errors.

    If an extra of the plugin's distribution has the package, that extra is named. torchvision that does not load beside
    a CPU build of torch is an import that failed too; the plugin can mend that.
    """
    if "torchvision::nms does not exist" in str(error):
        return "; call sightsound.torch.import_torchvision() before timm or torchvision is imported"
    missing: BaseException | None = error
    while missing is not None and not isinstance(missing, ModuleNotFoundError):
        missing = missing.__cause__
    if missing is None or not missing.name:
        return ""
    return f"; install it: {pip_install([missing.name], plugin)}"


def pip_install(packages: Sequence[str], plugin: str) -> str:
    """Return the command that installs packages for a plugin.

    Parameters
    ----------
    packages : sequence of str
        What cannot be imported.
    plugin : str
        The plugin; an extra of its distribution that has the first of the packages is named instead.
    """
    roots = [name.partition(".")[0] for name in packages]
    names = [_DISTRIBUTIONS.get(root, root) for root in roots]
    for point in entry_points(group=PROJECT, name=plugin):
        if point.dist is not None and (extra := _extra_with(point.dist.name, names[0])):
            return f'pip install "{point.dist.name}[{extra}]"'
    return f"pip install {' '.join(names)}"


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
