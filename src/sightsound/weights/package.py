"""Weight files inside installed packages, read in place. The package is not imported."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sightsound.weights.transfer import Unavailable


def package_file(name: str, path: str) -> Path:
    """Return the place of a file of an installed distribution.

    Parameters
    ----------
    name : str
        The distribution, as pip names it.
    path : str
        The path of the file below `site-packages`, with slashes: `acme_net/net.onnx`. In an editable installation it is
        found in the folder of the package.

    Returns
    -------
    pathlib.Path
        An existing file.

    Raises
    ------
    Unavailable
        If the distribution is not installed or has no such file, or if the path leads out of it.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts or ":" in path or "\0" in path:
        raise Unavailable(f"expected a path inside the package, such as acme_net/net.onnx, got {path!r}")
    try:
        found = distribution(name)
    except (PackageNotFoundError, ValueError) as error:
        raise Unavailable(f"{name} is not installed; pip install {name}") from error
    for place in _places(found, parts):
        if place.is_file():
            return place
    if archive := _archive(found):
        raise Unavailable(f"{name} is inside the archive {archive}; install it with pip, which unpacks it")
    raise Unavailable(
        f"{name} {found.version} has no file {path}; install it anew (its author: add it to package-data)"
    )


def _places(found: Distribution, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield where a file of a distribution may be: beside its metadata, and for an editable one in its package."""
    beside = found.locate_file("/".join(parts))
    if isinstance(beside, Path):
        yield beside
    project, (package, *inner) = _editable_project(found), parts
    if project is not None and inner:
        spec = importlib.util.find_spec(package)  # of a top-level package, so that nothing is imported
        for folder in (spec and spec.submodule_search_locations) or ():
            if Path(folder).resolve().is_relative_to(project.resolve()):  # another package of this name is not meant
                yield Path(folder, *inner)


def _editable_project(found: Distribution) -> Path | None:
    """Return the folder from which a distribution was installed with `pip install --editable`, None for others."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        editable = origin.get("dir_info", {}).get("editable", False)
        return Path(url2pathname(urlsplit(origin["url"]).path)) if editable else None
    except (ValueError, KeyError, AttributeError):
        return None


def _archive(found: Distribution) -> str:
    """Return the zip file or egg that a distribution is in, "" if it is in a folder."""
    place = Path(str(found.locate_file("")))
    return next((str(each) for each in (place, *place.parents) if zipfile.is_zipfile(each)), "")
