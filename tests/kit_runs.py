"""What the tests of the conformance kit share: hosts of one embedder, and the results of the kit by check."""

from __future__ import annotations

import dataclasses

from sightsound import Host, testing
from sightsound.plugin import hookimpl


class Plugin:
    """A plugin of one embedder, registered by hand."""

    def __init__(self, embedder):
        self.embedder = embedder

    @hookimpl
    def register_embedders(self, register):
        register(self.embedder.card, self.embedder)


class WithOptions(Plugin):
    """A plugin that answers for the options of its network."""

    def __init__(self, embedder, **changed):
        super().__init__(embedder)
        self.changed = changed

    @hookimpl
    def resolve_embedder(self, name, options):
        if name != self.embedder.card.name:
            return None
        written = [each.written(options[each.name]) for each in self.embedder.card.options if each.name in options]
        constants = {**self.embedder.card.constants, **{each: str(value) for each, value in options.items()}}
        changed = {"name": f"{name}[{','.join(written)}]", "constants": constants, **self.changed}
        card = dataclasses.replace(self.embedder.card, **changed)
        return card, type("Resolved", (self.embedder,), {"card": card})


def host_of(embedder, *others, **options):
    """A host with one embedder, and other plugins by the names of their classes."""
    host = Host(installed=False, **options)
    host.register(Plugin(embedder), "own")
    for other in others:
        host.register(other, type(other).__name__)
    return host


def results(embedder, *others, **options):
    found = testing.check_model(embedder.card.name, host=host_of(embedder, *others), **options)
    assert [result.check for result in found] == [check.__name__ for check in testing.CHECKS]
    return {result.check: result for result in found}


def failures(embedder, *others, **options):
    """The reason of each failed check by its name."""
    return {name: each.reason for name, each in results(embedder, *others, **options).items() if not each.passed}


def installed(folder, monkeypatch, code):
    """Install a distribution with one entry point, as pip would."""
    (folder / "acme_heavy.py").write_text(code)
    info = folder / "acme_heavy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-heavy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sightsound]\nown = acme_heavy\n")
    monkeypatch.syspath_prepend(folder)
