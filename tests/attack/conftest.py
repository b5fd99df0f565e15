"""A process in whose forks commands run, with faults or under limits."""

from __future__ import annotations

import pytest

from attack.forks import Forks, built_shim, why_no_faults


@pytest.fixture(scope="session")
def forks(install):
    """Forks without faults, under limits of memory and time."""
    with Forks(install("tiny", "fetch", "linear")) as running:
        yield running


@pytest.fixture(scope="session")
def faulty_forks(install, tmp_path_factory):
    """Forks in which calls that change files can fail."""
    if why_no_faults():
        pytest.skip(why_no_faults())
    with Forks(install("tiny", "fetch", "linear"), built_shim(tmp_path_factory.mktemp("shim"))) as running:
        yield running
