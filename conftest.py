"""What the tests of sightsound and of the plugins share."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Finished, in_a_process, in_this_process
from distributions import DISTS, installed, together


def pytest_configure() -> None:
    """Let the converter of OpenVINO find no telemetry, which would report to its authors from forks."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def pytest_collection() -> None:
    """Collect thousands of tests without looking for garbage, which would take a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but not among the tests and the modules that are there."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and (sys.platform != "linux" or os.geteuid()):
        pytest.skip("needs to mount file systems, which takes root on Linux")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests of plugins that are not installed."""
    return collection_path in _absent() or None


def pytest_report_header() -> str:
    """Return which tests are left out."""
    names = ", ".join(path.parent.name for path in _absent())
    return f"not installed, and not tested: {names}" if names else ""


@functools.cache
def _absent() -> tuple[Path, ...]:
    """Return the folders with the tests of plugins that are not installed."""
    folders = sorted(Path(__file__).parent.glob("plugins/*/tests"))
    known = {distribution.name for distribution in importlib.metadata.distributions()}
    return tuple(folder for folder in folders if folder.parent.name not in known)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the project, or the one that SIGHTSOUND_SHARED names; tests skip if it is absent."""
    folder = Path(os.environ.get("SIGHTSOUND_SHARED", Path(__file__).resolve().parents[1] / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the project's shared data (../shared)")
    return folder


@pytest.fixture(scope="session")
def install(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`install("tiny", "whiten")` -> a folder for PYTHONPATH where these packages of tests/dists are installed."""
    cache = pytestconfig.cache.mkdir("distributions")

    @functools.cache
    def run(*names: str | Path) -> Path:
        folders = [installed(name if isinstance(name, Path) else DISTS / name, cache) for name in names]
        return together(folders, tmp_path_factory.mktemp("site") / "site")

    return run


@pytest.fixture
def command(install: Callable[..., Path]) -> Callable[..., Finished]:
    """`command("index", folder, ...)` runs the command line with the packages of `plugins` (from tests/dists)
    installed beside what is, `given` at its standard input and `environment` in its environment.

    It runs in this process, or with `process=True` in one of its own, where the test is about what only that has:
    imports at startup, signals, closed streams, locks between processes.
    """

    def run(
        *arguments: str | os.PathLike[str],
        plugins: tuple[str | Path, ...] = ("tiny",),
        given: bytes = b"",
        process: bool = False,
        timeout: float = 120,
        **environment: str,
    ) -> Finished:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            sites = [str(install(*plugins))] if plugins else []
            paths = [*sites, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
            words = [os.fsdecode(argument) for argument in arguments]
            return in_a_process(words, paths, given, timeout) if process else in_this_process(words, paths, given)

    return run
