"""Checks of what `load` returns, how it says that it runs, and on which device."""

from __future__ import annotations

import dataclasses
import logging

from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.execution import Execution
from sightsound.host.discovery import STAGES
from sightsound.host.model import Model
from sightsound.testing.subject import NotApplicable, Subject

_FIELDS = {field.name for field in dataclasses.fields(Execution)}
_ABSENT = "cuda:99"


def embedder_loads(subject: Subject) -> str | None:
    """Check that `load` returns an embedder: an instance with the registered card and the three methods."""
    fault = subject.fault
    if fault is not None:
        assert _is_of_execution(fault), str(fault)
        return None
    embedder = subject.model.embedder
    missing = [stage for stage in STAGES if not callable(getattr(embedder, stage, None))]
    assert not missing, f"{type(embedder).__name__}: expected the method {missing[0]}, got none; see the contract"
    return None


def execution_is_valid(subject: Subject) -> str | None:
    """Check that `batch_size`, `workers` and `threads` are whole numbers from 1, `device` and `precision` texts."""
    if subject.fault is not None:
        raise AssertionError(str(subject.fault)) from subject.fault
    try:
        Execution.of(subject.model.embedder)
    except PluginError as error:
        raise AssertionError(f"{error}; correct the attribute of the embedder") from error
    return str(subject.model.execution)


def device_is_honoured(subject: Subject) -> str | None:
    """Check that `load` uses the device that the user asks for, refuses it, or says that it runs on the CPU."""
    if subject.model.device != "cpu":
        got = _load_on(subject, "cpu").device
        assert got == "cpu", f"device 'cpu': expected the network there, got {got!r}; hand `device` on"
    try:
        got = _load_on(subject, _ABSENT).device
    except SightsoundError:
        return None
    assert got == "cpu", (
        f"device {_ABSENT!r}, which is not here: expected SightsoundError, or a network with device = 'cpu', got one "
        f"that says {got!r}; likely `device` is kept as it was given: ask the framework where the network is"
    )
    return "runs on the CPU, whatever device is asked for"


def _load_on(subject: Subject, device: str) -> Model:
    """Load the model without the host's warning that it runs elsewhere."""
    log = logging.getLogger("sightsound.host")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return subject.host.load(subject.card.name, device)
    finally:
        log.setLevel(level)


def _is_of_execution(fault: SightsoundError) -> bool:
    """Return whether a model does not load because of an attribute that says how it runs."""
    cause = fault.__cause__
    return isinstance(cause, PluginError) and str(cause).partition(":")[0] in _FIELDS


def require(subject: Subject, method: str) -> None:
    """Raise `NotApplicable` if the embedder has no such method."""
    if not callable(getattr(subject.model.embedder, method, None)):
        raise NotApplicable(f"the embedder has no method {method}()")
