"""Plugins that wrap or replace a stage: what runs, which space the rows have, and which plugins an error names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightsound import Host, Library, Output, Windows, hookimpl, index, search
from sightsound.contract.errors import LibraryError, PluginError, SightsoundError, SpaceMismatch

STAGE_PLUGINS = ("count", "whiten", "swap", "rival")
PICTURE = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
SOUND = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)
INPUTS = np.random.default_rng(3).random((5, 16, 16, 3), np.float32)


@pytest.fixture(scope="module")
def site(install: Callable[..., Path]) -> Path:
    return install(*STAGE_PLUGINS)


@pytest.fixture
def only_tiny(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install("tiny"))
    monkeypatch.delenv("SIGHTSOUND_BLOCK", raising=False)


@pytest.fixture
def using(only_tiny: None, site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    """`using("whiten")` -> a host with tiny and these of the installed stage plugins."""

    def make(*names: str) -> Host:
        monkeypatch.syspath_prepend(site)
        return Host(block=[name for name in STAGE_PLUGINS if name not in names])

    return make


def colours(pictures: np.ndarray) -> np.ndarray:
    """The rows of `colours.tiny`, computed one by one: the mean of each 4 x 4 patch of a 16 x 16 image."""
    return np.array(
        [
            [p[y : y + 4, x : x + 4, c].mean() for y in range(0, 16, 4) for x in range(0, 16, 4) for c in range(3)]
            for p in pictures
        ]
    )


def stages_of(host: Host, name: str) -> list[str]:
    return json.loads(host.space(name).facts)["stages"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


# -- the same numbers: count -------------------------------------------------------------------------------------


def test_a_wrapper_for_all_models_sees_every_call_and_changes_nothing(using):
    plain, counted = using(), using("count")
    import sightsound_count

    before = sightsound_count.calls.copy(), sightsound_count.inputs_seen.copy()
    for name, media in (("colours.tiny", PICTURE), ("loudness.tiny", SOUND)):
        np.testing.assert_array_equal(counted.load(name).rows(media)[1], plain.load(name).rows(media)[1])
    counted.load("colours.tiny").embed(INPUTS)
    calls, inputs = sightsound_count.calls - before[0], sightsound_count.inputs_seen - before[1]
    assert calls == {"colours.tiny": 2, "loudness.tiny": 1}
    assert inputs == {"colours.tiny": 1 + len(INPUTS), "loudness.tiny": 4}


def test_a_wrapper_that_keeps_the_numbers_keeps_the_space(using):
    plain, counted = using(), using("count")
    for name in ("colours.tiny", "loudness.tiny"):
        assert counted.space(name) == plain.space(name) == counted.load(name).space
        assert counted.space(name).fingerprint == plain.space(name).fingerprint


def test_a_library_can_be_used_with_and_without_a_wrapper_that_keeps_the_numbers(using, pictures, tmp_path):
    index(pictures, tmp_path / "zoo", models=["colours.tiny"], host=using("count"))
    report = index(pictures, tmp_path / "zoo", models=["colours.tiny"], host=using())
    assert report.counts == {"unchanged": 3}
    assert len(search(pictures / "a.png", tmp_path / "zoo", host=using())) == 2


# -- other numbers: whiten ---------------------------------------------------------------------------------------


def test_a_plugin_that_whitens_changes_the_rows(using):
    plain, white = using().load("colours.tiny"), using("whiten").load("colours.tiny")
    np.testing.assert_allclose(plain.embed(INPUTS).embeddings, colours(INPUTS), atol=1e-6)
    np.testing.assert_array_equal(white.embed(INPUTS).embeddings, plain.embed(INPUTS).embeddings)
    rows = white.postprocess(white.embed(INPUTS))
    np.testing.assert_allclose(rows, (colours(INPUTS) - 0.5) / 0.25, atol=1e-5)


def test_a_plugin_that_whitens_enters_the_space_with_its_name_version_and_settings(using):
    plain, white = using(), using("whiten")
    assert stages_of(plain, "colours.tiny") == []
    assert stages_of(white, "colours.tiny") == ["whiten 3.1 mean=0.5,spread=0.25"]
    assert white.space("colours.tiny").fingerprint != plain.space("colours.tiny").fingerprint
    assert white.load("colours.tiny").space == white.space("colours.tiny")


def test_a_plugin_that_leaves_a_model_alone_affects_neither_its_space_nor_its_rows(using):
    plain, white = using(), using("whiten")
    assert white.space("loudness.tiny") == plain.space("loudness.tiny")
    np.testing.assert_array_equal(
        white.load("loudness.tiny").rows(SOUND)[1], plain.load("loudness.tiny").rows(SOUND)[1]
    )


@pytest.fixture
def white_zoo(using, pictures, tmp_path) -> Path:
    report = index(pictures, tmp_path / "zoo", models=["colours.tiny"], host=using("whiten"))
    assert report.counts == {"ok": 3}
    return tmp_path / "zoo"


def test_a_whitened_library_is_searched_with_the_plugin(using, white_zoo, pictures):
    with Library(white_zoo) as zoo:
        ((space, count),) = zoo.spaces.items()
    assert (space, count) == (using("whiten").space("colours.tiny"), 3)
    hits = search(pictures / "a.png", white_zoo, host=using("whiten"))
    assert {hit.item.path for hit in hits} == {"b.png", "c.png"}


@pytest.mark.parametrize("models", [(), ("colours.tiny",)])
def test_a_whitened_library_is_not_searched_without_the_plugin(only_tiny, using, white_zoo, pictures, tmp_path, models):
    other = tmp_path / "other.png"
    Image.fromarray(PICTURE).save(other)
    for query in (pictures / "a.png", other):
        with pytest.raises(SpaceMismatch) as caught:
            search(query, white_zoo, models=models, host=using())
        text = str(caught.value)
        assert "stages: expected whiten 3.1 mean=0.5,spread=0.25, got []" in text
        assert ("install" if models else "do not block") + " the plugin whiten" in text and "\n" not in text


def test_a_plain_library_is_not_searched_with_the_plugin(using, pictures, tmp_path):
    index(pictures, tmp_path / "zoo", models=["colours.tiny"], host=using())
    with pytest.raises(SpaceMismatch, match=r"stages: expected \[\], got whiten 3\.1"):
        search(pictures / "a.png", tmp_path / "zoo", host=using("whiten"))


def test_a_whitened_library_takes_no_rows_without_the_plugin(using, white_zoo, pictures):
    """Otherwise a library would hold two spaces of one name, and each search would find half of the items."""
    Image.fromarray(PICTURE).save(pictures / "d.png")
    with pytest.raises(SightsoundError, match=r"do not block the plugin whiten \(--block"):
        index(pictures, white_zoo, models=["colours.tiny"], host=using())
    with Library(white_zoo) as zoo:
        assert list(zoo.spaces) == [using("whiten").space("colours.tiny")], "and nothing was added"
    assert index(pictures, white_zoo, models=["colours.tiny"], host=using("whiten")).counts["ok"] == 1


def test_on_the_command_line_the_missing_plugin_is_named_with_exit_code_2(
    command, site, white_zoo, pictures, monkeypatch
):
    """The plugin is not installed at all here; with it on the path the same search works."""
    words = ("search", pictures / "a.png", "--library", white_zoo)
    refused = command(*words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "install the plugin whiten 3.1" in refused.stderr and refused.stderr.count("\n") == 1
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    found = command("--block", "swap,rival", *words)
    assert found.returncode == 0, found.stderr
    assert "b.png" in found.stdout


# -- another way to run one network: swap and rival --------------------------------------------------------------


def test_a_replacement_runs_instead_of_the_network_of_one_model_alone(using):
    plain, swapped = using(), using("swap")
    np.testing.assert_allclose(swapped.load("colours.tiny").embed(INPUTS).embeddings, -colours(INPUTS), atol=1e-6)
    assert stages_of(swapped, "colours.tiny") == ["swap 0.4 negative"]
    assert swapped.space("loudness.tiny") == plain.space("loudness.tiny")
    np.testing.assert_array_equal(
        swapped.load("loudness.tiny").rows(SOUND)[1], plain.load("loudness.tiny").rows(SOUND)[1]
    )


def test_wrappers_apply_to_a_replacement_and_all_that_change_rows_are_in_the_space(using):
    host = using("count", "swap", "whiten")
    assert stages_of(host, "colours.tiny") == ["swap 0.4 negative", "whiten 3.1 mean=0.5,spread=0.25"]
    model = host.load("colours.tiny")
    rows = model.postprocess(model.embed(INPUTS))
    np.testing.assert_allclose(rows, (-colours(INPUTS) - 0.5) / 0.25, atol=1e-5)


def test_two_replacements_of_one_stage_for_one_model_are_an_error_that_names_both(using):
    host = using("swap", "rival")
    for ask in (host.space, host.load):
        with pytest.raises(PluginError) as caught:
            ask("colours.tiny")
        text = str(caught.value)
        assert text.startswith("embed of colours.tiny: plugins ")
        assert "'swap'" in text and "'rival'" in text and "--block" in text
    assert host.load("loudness.tiny").rows(SOUND)[1].shape == (4, 17), "other models are not concerned"
    assert {"colours.tiny", "loudness.tiny"} <= set(host.cards)


def test_blocking_one_of_two_replacements_works(using, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_BLOCK", "rival")
    assert stages_of(using("swap", "rival"), "colours.tiny") == ["swap 0.4 negative"]


# -- stages that fail --------------------------------------------------------------------------------------------


class Passing:
    """Wraps `embed` of every model and changes nothing."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        return (yield)


class Raising:
    """Replaces `preprocess` and raises."""

    @hookimpl
    def preprocess(self, embedder, media, start, last):
        raise ZeroDivisionError("no such thing")


class RaisingAfter:
    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        yield
        raise ZeroDivisionError("no such thing")


class RaisingBefore:
    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        raise ZeroDivisionError("no such thing")
        yield


class GivesNothing:
    """Replaces `embed` and forgets to return the output."""

    @hookimpl
    def embed(self, embedder, inputs):
        embedder.embed(inputs)


class LosesResult:
    """Wraps `embed` and forgets to return the output."""

    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        yield


class LosesResultOldWay:
    @hookimpl(hookwrapper=True)
    def embed(self, embedder, inputs):
        outcome = yield
        outcome.force_result(None)


class LosesRows:
    @hookimpl
    def postprocess(self, embedder, output):
        return None


class LosesWindows:
    @hookimpl
    def preprocess(self, embedder, media, start, last):
        return None


class GivesPlainArray:
    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        return (yield).embeddings


class GivesHalfOfTheRows:
    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        output = yield
        return Output(output.embeddings[::2])


class GivesDoubles:
    @hookimpl(wrapper=True)
    def preprocess(self, embedder, media, start, last):
        return Windows((yield).inputs.astype(np.float64))


def through_all_stages(model):
    model.preprocess(PICTURE)
    model.postprocess(model.embed(INPUTS))


@pytest.mark.parametrize(
    ("plugin", "stage", "problem"),
    [
        (Raising, "preprocess", "ZeroDivisionError: no such thing"),
        (RaisingAfter, "embed", "ZeroDivisionError: no such thing"),
        (RaisingBefore, "postprocess", "ZeroDivisionError: no such thing"),
        (GivesNothing, "embed", "returned nothing"),
        (LosesResult, "embed", "returned nothing"),
        (LosesResultOldWay, "embed", "returned nothing"),
        (LosesRows, "postprocess", "returned nothing"),
        (LosesWindows, "preprocess", "returned nothing"),
        (GivesPlainArray, "embed", "expected Output, got ndarray"),
        (GivesHalfOfTheRows, "embed", "embeddings: expected float32"),
        (GivesDoubles, "preprocess", "inputs: expected float32"),
    ],
)
def test_a_stage_that_fails_is_reported_with_all_its_plugins(tiny, plugin, stage, problem):
    tiny.register(Passing(), "passing")
    tiny.register(plugin(), "culprit")
    with pytest.raises(PluginError) as caught:
        through_all_stages(tiny.load("colours.tiny"))
    text = str(caught.value)
    found = re.match(rf"{stage} of colours.tiny \(plugin tiny, with (.+) in this stage\): (.+)", text)
    assert found, text
    assert sorted(found[1].split(", ")) == (["culprit", "passing"] if stage == "embed" else ["culprit"])
    assert found[2].startswith(problem)


def test_an_embedder_without_other_plugins_is_reported_alone(tiny):
    with pytest.raises(PluginError, match=r"^embed of colours.tiny \(plugin tiny\): ValueError: cannot reshape"):
        tiny.load("colours.tiny").embed(np.zeros((2, 3), np.float32))


class Asks:
    """Wraps `postprocess`; its `stage_id` gives or raises `answer`."""

    def __init__(self, answer):
        self.answer = answer

    def stage_id(self, card):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return -(yield)


def test_a_stage_id_that_raises_is_reported_with_its_plugin_and_the_next_step(tiny):
    tiny.register(Asks(LookupError("no settings")), "asks")
    for ask in (tiny.space, tiny.load):
        with pytest.raises(PluginError) as caught:
            ask("colours.tiny")
        text = str(caught.value)
        assert text.startswith("stage_id of plugin 'asks' for colours.tiny: LookupError: no settings")
        assert "--block asks" in text
    assert set(tiny.cards) == {"colours.tiny", "loudness.tiny"}


@pytest.mark.parametrize("answer", [3, 0, False, b"settings", {"mean": 0.5}], ids=repr)
def test_a_stage_id_that_is_no_text_is_reported_with_its_plugin(tiny, answer):
    tiny.register(Asks(answer), "asks")
    with pytest.raises(PluginError, match="'asks'"):
        tiny.space("colours.tiny")


def test_a_plugin_without_stage_id_counts_as_changing_every_model(tiny):
    class Silent:
        __version__ = "7"

        @hookimpl(wrapper=True)
        def preprocess(self, embedder, media, start, last):
            return (yield)

    before = {name: tiny.space(name) for name in tiny.cards}
    tiny.register(Silent(), "silent")
    for name, space in before.items():
        assert stages_of(tiny, name) == ["silent 7"]
        assert tiny.space(name) != space


def test_other_settings_of_a_stage_are_another_space(tiny):
    asks = Asks("one")
    tiny.register(asks, "asks")
    first = tiny.space("colours.tiny")
    asks.answer = "two"
    assert tiny.space("colours.tiny") != first
    asks.answer = None
    assert stages_of(tiny, "colours.tiny") == []


def test_a_loaded_model_ignores_stages_that_are_registered_later(tiny):
    """Its space, which is stored with the rows, does not contain that stage."""
    model = tiny.load("colours.tiny")
    rows = model.rows(PICTURE)[1]
    tiny.register(Asks("negative"), "asks")
    np.testing.assert_array_equal(model.rows(PICTURE)[1], rows)
    assert tiny.load("colours.tiny").space != model.space
    np.testing.assert_array_equal(tiny.load("colours.tiny").rows(PICTURE)[1], -rows)


def test_indexing_continues_after_a_stage_failed_on_one_file(tiny, pictures, tmp_path):
    class FailsOnDark:
        same_numbers = True

        @hookimpl(wrapper=True)
        def preprocess(self, embedder, media, start, last):
            if not media.any():
                raise ZeroDivisionError("nothing to see")
            return (yield)

    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(pictures / "dark.png")
    tiny.register(FailsOnDark(), "moody")
    report = index(pictures, tmp_path / "zoo", models=["colours.tiny"], host=tiny)
    assert report.counts == {"ok": 3, "failed": 1}
    (failed,) = report.failed
    assert failed.item.path == "dark.png"
    assert "preprocess of colours.tiny (plugin tiny, with moody in this stage): ZeroDivisionError" in failed.reason


def test_the_error_for_a_missing_library_names_no_plugin(tiny, pictures, tmp_path):
    with pytest.raises(LibraryError, match="no library at"):
        search(pictures / "a.png", tmp_path / "nowhere", host=tiny)


def test_the_wrapper_of_the_plugin_that_was_registered_last_is_the_outermost(tiny):
    seen = []

    class Wrapper:
        same_numbers = True

        def __init__(self, name):
            self.name = name

        @hookimpl(wrapper=True)
        def embed(self, embedder, inputs):
            seen.append(f"{self.name} begins")
            output = yield
            seen.append(f"{self.name} ends")
            return output

    for name in ("a", "b"):
        tiny.register(Wrapper(name), name)
    tiny.load("colours.tiny").rows(PICTURE)
    assert seen == ["b begins", "a begins", "a ends", "b ends"]
