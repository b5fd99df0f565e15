"""What a plugin needs to be installed, found out without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util


def require_packages(*names: str) -> None:
    """Raise `ModuleNotFoundError` if a package is not installed, without importing it.

    A plugin calls it while it registers; `sightsound plugins` then says what to install.

    Parameters
    ----------
    *names : str
        What is imported, such as "onnxruntime".

    Raises
    ------
    ModuleNotFoundError
        For the first package that is missing.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def installed_version(package: str) -> str:
    """Return the version of a package, "" if it is not installed, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
