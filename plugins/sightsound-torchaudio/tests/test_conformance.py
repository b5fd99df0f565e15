"""The conformance kit on small networks, with and without options."""

from __future__ import annotations

import functools

import pytest

from sightsound import Host
from sightsound.testing import CHECKS, Check, NotApplicable, Subject

pytest.importorskip("sightsound_torchaudio.framework", reason="torchaudio is not installed")

NAMES = ("wav2vec2_tiny.torchaudio", "wavlm_tiny_large.torchaudio[layer=3,window=0.8,hop=0.4]")


@functools.cache
def subject(name: str, host: Host) -> Subject:
    return Subject(name, host=host)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", NAMES)
def test_conforms(name: str, check: Check, host: Host) -> None:
    try:
        check(subject(name, host))
    except NotApplicable as reason:
        pytest.skip(str(reason))
