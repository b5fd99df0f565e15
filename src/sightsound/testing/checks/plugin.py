"""Checks of the import of the plugin, of other plugins in its stages, and of the golden file."""

from __future__ import annotations

from sightsound.testing.golden import read_golden
from sightsound.testing.imports import Imported
from sightsound.testing.subject import TOLERANCE, NotApplicable, Subject, distance, row_distance, score_distance

SLOW = 1.0
"""Seconds of an import from which on it is remarked."""


def import_is_light(subject: Subject) -> str | None:
    """Check that import and registration of the plugin, which every command needs, import no framework."""
    slow = ""
    for found in _imports(subject):
        assert not found.error, f"import of {found.point}: {found.error}"
        assert not found.frameworks, (
            f"import of {found.point}: expected no framework, got {', '.join(found.frameworks)}; move its import into "
            "the methods that need it (`from sightsound import torch` counts as torch)"
        )
        if found.seconds > SLOW:
            slow = f"import of {found.point}: {found.seconds:.1f} s, for which every command waits; import less"
    return slow or None


def load_is_light(subject: Subject) -> str | None:
    """Check that `load` imports no framework, so that a runtime can run the network without it."""
    for found in _imports(subject):
        assert not found.loaded, (
            f"load of {subject.card.name}: expected no framework, got {', '.join(found.loaded)}; build the network in "
            "prepare(), and import its framework there"
        )
    return None


def import_prints_nothing(subject: Subject) -> str | None:
    """Check that import and registration of the plugin print nothing, which would mix with the output of commands."""
    for found in _imports(subject):
        text = " ".join(found.printed.split())
        assert not text, f"import of {found.point}: expected no output, got {text[:80]!r}; use logging, or drop it"
    return None


def same_numbers_plugins_keep_them(subject: Subject) -> str | None:
    """Check that installed stage plugins that declare `same_numbers = True` do not change the rows of this model."""
    in_its_stages = sorted({name for names in subject.model.others.values() for name in names})
    names = [row.name for row in subject.host.plugins if row.name in in_its_stages and row.same_numbers]
    if not names:
        raise NotApplicable("no such stage plugin is installed")
    for plugin in names:
        bare = subject.without(plugin)
        for name, media in subject.media.items():
            expected = bare.answer(media)
            for turn in ("first", "second"):  # the second may come from a cache
                far = distance(subject.answer(media), expected)
                assert far <= TOLERANCE, (
                    f"stage plugin {plugin!r}, {name!r}, {turn} time: expected the rows of {subject.card.name} as they "
                    f"are, got {far:.2g} apart; drop its same_numbers = True and let stage_id(card) say what it does"
                )
    return None


def golden_file_agrees(subject: Subject) -> str | None:
    """Check that the model gives the rows and scores in the golden file for the inputs in the golden file."""
    if subject.golden is None:
        raise NotApplicable("no golden file given")
    golden, card = read_golden(subject.golden), subject.card
    assert golden.revision == card.revision, (
        f"golden file: expected revision {card.revision}, got one {golden.made}; write it anew (testing.write_golden)"
    )
    advice = (
        "likely other weights, another preprocessing or a new version of a library; if it is meant, raise "
        "card.revision and write it anew"
    )
    for key, media in golden.media.items():
        answer, rows, scores = subject.answer(media), golden.embeddings[key], golden.scores.get(key)
        got = answer.embeddings
        assert got.shape == rows.shape, f"golden {key!r}: expected {rows.shape}, got {got.shape}; {golden.made}"
        far = row_distance(got, rows)
        assert far <= golden.tolerance, (
            f"golden {key!r}: expected rows within {golden.tolerance:.2g}, got {far:.2g} apart; {golden.made}; {advice}"
        )
        if scores is None:
            continue
        shape = None if answer.scores is None else answer.scores.shape
        assert answer.scores is not None and shape == scores.shape, (
            f"golden {key!r}: expected scores {scores.shape}, got {shape}; {golden.made}"
        )
        far = score_distance(answer.scores, scores)
        assert far <= golden.score_tolerance, (
            f"golden {key!r}: expected scores within {golden.score_tolerance:.2g}, got {far:.2g} apart; {golden.made}; "
            f"likely a sigmoid for a softmax or one taken twice, or classes in another order; or {advice}"
        )
    if card.scores and not golden.scores:
        return "the golden file has no scores, so wrong ones are not found; give write_golden scores too"
    return None


def _imports(subject: Subject) -> list[Imported]:
    if not subject.imports:
        raise NotApplicable("the plugin was registered by hand, without an entry point")
    return subject.imports
