"""What the tests of sightsound and of the plugins share."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Finished, in_a_process, in_this_process
from distributions import DISTS, installed, together


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and (sys.platform != "linux" or os.geteuid()):
        pytest.skip("needs to mount file systems, which takes root on Linux")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the project, or the one that SIGHTSOUND_SHARED names; tests skip if it is absent."""
    folder = Path(os.environ.get("SIGHTSOUND_SHARED", Path(__file__).resolve().parents[1] / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the project's shared data (../shared)")
    return folder


@pytest.fixture(scope="session")
def install(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`install("tiny", "whiten")` -> a folder for PYTHONPATH with these packages of tests/dists, installed by pip."""
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
