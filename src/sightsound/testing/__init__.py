"""The conformance kit: the rules for embedders, each as a small function.

In a plugin's tests it takes one line:

    test_conforms = sightsound.testing.conformance("logspec.acme")

`check_model("logspec.acme")` returns a list of results, and `sightsound check-model logspec.acme` prints them. The
stages are called as the host calls them, stage plugins included, but without the host's own checks, so that one fault
fails one check: those that rely on it are skipped.
"""

from __future__ import annotations

from sightsound.testing.bench import BenchRow, bench_model
from sightsound.testing.checks import CHECKS, Check
from sightsound.testing.golden import write_golden
from sightsound.testing.media import images, sounds
from sightsound.testing.plugin_package import new_plugin
from sightsound.testing.run import CheckResult, check_model, conformance
from sightsound.testing.subject import NotApplicable, Subject

__all__ = [
    "CHECKS",
    "BenchRow",
    "Check",
    "CheckResult",
    "NotApplicable",
    "Subject",
    "bench_model",
    "check_model",
    "conformance",
    "images",
    "new_plugin",
    "sounds",
    "write_golden",
]
