"""The conformance kit: a correct embedder passes every check, and a fault fails its own check and no other."""

import dataclasses

import numpy as np
import pytest

import faulty_words
from faulty_embedders import FAULTS, SOUND, CorrectImage, CorrectSound, LoadsAClass, RaisesInEmbed
from kit_runs import failures, host_of, installed, results
from sightsound import MissingWeights, UnknownModel, testing
from sightsound.plugin import WeightFile, Windows, hookimpl
from sightsound.testing.checks import NEEDS


@pytest.mark.parametrize("embedder", [CorrectSound, CorrectImage])
def test_a_correct_embedder_passes_every_check(embedder):
    assert failures(embedder) == {}


@pytest.mark.parametrize(("embedder", "check", "text"), FAULTS, ids=[row[0].__name__ for row in FAULTS])
def test_a_wrong_embedder_fails_its_own_check_and_no_other(embedder, check, text):
    found = failures(embedder)
    assert list(found) == [check]
    assert text in found[check]


def test_a_card_without_windows_is_checked_on_whole_recordings():
    class Whole(CorrectSound):
        card = dataclasses.replace(SOUND, name="whole.sound", window=None, hop=None)

        def preprocess(self, media, start, last):
            padded = np.pad(media, (0, max(0, 400 - len(media))))[:400]
            return Windows(padded[None], np.array([[0, len(media) / 1000]]), len(media) < 400)

    assert failures(Whole) == {}


def test_a_stage_that_raises_is_a_failed_check_with_its_reason():
    class Raises(CorrectSound):
        def embed(self, inputs):
            raise RuntimeError("no kernel image")

    assert "embed raised RuntimeError: no kernel image" in failures(Raises)["shapes_and_dtypes"]


def test_a_panic_of_rust_which_is_no_exception_is_a_failed_check():
    class PanicException(BaseException):
        pass

    class Panics(CorrectSound):
        def embed(self, inputs):
            raise PanicException("called `Option::unwrap()` on a `None` value")

    assert "embed raised PanicException: called `Option" in failures(Panics)["shapes_and_dtypes"]


def test_a_stage_that_returns_nothing_is_a_failed_check():
    class Nothing(CorrectSound):
        def postprocess(self, output):
            pass

    assert "postprocess returned nothing" in failures(Nothing)["shapes_and_dtypes"]


# -- one fault, one line -----------------------------------------------------------------------------------------------


def test_a_check_that_relies_on_a_failed_one_is_not_run():
    found = results(RaisesInEmbed)
    assert [name for name, each in found.items() if each.status == "failed"] == ["shapes_and_dtypes"]
    for name in ("rows_are_finite", "same_after_a_reload", "labels_name_the_scores", "safe_in_threads"):
        assert found[name].status == "skipped"
        assert found[name].reason == "not run: shapes and dtypes failed first"
    assert found["card_survives_json"].status == "passed"


def test_a_network_that_does_not_load_is_one_failed_check_and_the_card_is_checked_still():
    found = results(LoadsAClass)
    assert {name for name, each in found.items() if each.status == "passed"} == {"card_survives_json", "card_is_usual"}
    assert sum(each.reason == "not run: embedder loads failed first" for each in found.values()) > 20


def test_what_does_not_apply_is_skipped_with_its_reason():
    found = results(CorrectImage)
    assert (found["spans_are_ordered_and_inside"].status, found["text_gives_rows"].status) == ("skipped", "skipped")
    assert found["spans_are_ordered_and_inside"].reason == "an image has no seconds"
    assert found["text_gives_rows"].reason == "the card says text=False"
    assert found["golden_file_agrees"].passed


def test_a_failed_check_keeps_its_traceback():
    found = results(RaisesInEmbed)
    assert 'raise RuntimeError("no kernel image")' in found["shapes_and_dtypes"].traceback
    assert found["rows_are_finite"].traceback == found["card_survives_json"].traceback == ""


def test_the_checks_that_a_check_relies_on_are_run_before_it():
    order = [check.__name__ for check in testing.CHECKS]
    for check, needed in NEEDS.items():
        assert all(order.index(each.__name__) < order.index(check.__name__) for each in needed)


# -- stage plugins and imports -----------------------------------------------------------------------------------------


class Rounds:
    """Declares that it does not change the numbers, but rounds them."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return np.round((yield), 1)


class Counts:
    """Does not change the numbers."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        return (yield)


class Doubles(Rounds):
    """Changes the numbers and declares it."""

    same_numbers = False

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return np.float32(2) * (yield)


def test_a_stage_plugin_that_breaks_its_same_numbers_is_named():
    found = failures(CorrectSound, Counts(), Rounds(), Doubles())
    assert list(found) == ["same_numbers_plugins_keep_them"]
    assert "stage plugin 'Rounds'" in found["same_numbers_plugins_keep_them"]


class Cuts:
    """Returns fewer numbers than the card says."""

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return (yield)[:, :7]


class Breaks:
    @hookimpl
    def embed(self, embedder, inputs):
        raise RuntimeError("no session")


class Logits:
    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        output = yield
        return dataclasses.replace(output, scores=output.scores * 9)


@pytest.mark.parametrize(
    ("stage", "check"), [(Cuts(), "shapes_and_dtypes"), (Breaks(), "shapes_and_dtypes"), (Logits(), "scores_in_range")]
)
def test_a_stage_plugin_is_named_where_its_stage_fails(stage, check):
    found = failures(CorrectSound, stage)
    assert list(found) == [check]
    assert f"the stage plugin '{type(stage).__name__}' takes part in it" in found[check]


def test_stage_plugins_that_keep_the_numbers_or_declare_that_they_change_them_pass():
    assert failures(CorrectSound, Counts(), Doubles()) == {}


@pytest.mark.parametrize(
    "code",
    ["import torch", "def register_embedders(register):\n    import torch"],
    ids=["at the top", "while registering"],
)
def test_a_plugin_that_imports_its_framework_too_early_fails_a_check_that_names_it(tmp_path, monkeypatch, code):
    (tmp_path / "torch.py").write_text("")  # a stand-in: what counts is the name in sys.modules
    installed(tmp_path, monkeypatch, code)
    found = failures(CorrectSound)
    assert list(found) == ["import_is_light"]
    assert (
        "import of acme_heavy: expected no framework, got torch; move its import into the methods"
        in found["import_is_light"]
    )


HEAVY_LOAD = """
import faulty_embedders as t
from sightsound.plugin import hookimpl
def load(device, weights):
    import torch
    return t.CorrectSound()
@hookimpl
def register_embedders(register):
    register(t.SOUND, load)
"""


def test_a_load_that_imports_a_framework_fails_a_check_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("")
    installed(tmp_path, monkeypatch, HEAVY_LOAD)
    found = {each.check: each for each in testing.check_model("correct.sound") if not each.passed}
    assert list(found) == ["load_is_light"]
    reason = "load of correct.sound: expected no framework, got torch; build the network in prepare()"
    assert reason in found["load_is_light"].reason


def test_a_plugin_that_prints_while_it_is_imported_fails_a_check_that_shows_the_text(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "print('HELLO FROM ACME')")
    found = failures(CorrectSound)
    assert list(found) == ["import_prints_nothing"]
    assert "import of acme_heavy: expected no output, got 'HELLO FROM ACME'" in found["import_prints_nothing"]


def test_an_import_that_takes_long_is_remarked(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "import numpy")
    assert results(CorrectSound)["import_is_light"].reason == ""
    monkeypatch.setattr("sightsound.testing.checks.plugin.SLOW", 0.0)
    found = results(CorrectSound)["import_is_light"]
    assert found.status == "passed"
    assert "import of acme_heavy: 0." in found.reason and "for which every command waits" in found.reason


def test_a_plugin_that_cannot_be_imported_fails_with_the_last_line_of_its_error(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "import acme_engine")
    found = failures(CorrectSound)
    assert list(found) == ["import_is_light"]
    assert "import of acme_heavy: ModuleNotFoundError: No module named 'acme_engine'" in found["import_is_light"]


def test_a_light_plugin_passes_the_import_check(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "import numpy")
    assert failures(CorrectSound) == {}


# -- how the kit is called ---------------------------------------------------------------------------------------------

test_conformance_is_one_line = testing.conformance("correct.image", host=host_of(CorrectImage))


def test_a_loaded_model_can_be_checked_too():
    host = host_of(CorrectSound)
    assert all(result.passed for result in testing.check_model(host.load("correct.sound"), host=host))


def test_an_unknown_model_is_an_error_and_not_a_result():
    with pytest.raises(UnknownModel, match="no embedder 'wrong"):
        testing.check_model("wrong.sound", host=host_of(CorrectSound))


def test_a_case_of_conformance_passes_fails_or_is_skipped_with_the_reason():
    cases = {check.__name__: check for check in testing.CHECKS}
    test = testing.conformance("correct.sound", host=host_of(RaisesInEmbed))
    test(cases["embedder_loads"])
    with pytest.raises(AssertionError, match="embed raised RuntimeError: no kernel image"):
        test(cases["shapes_and_dtypes"])
    with pytest.raises(pytest.skip.Exception, match="not run: shapes and dtypes failed first"):
        test(cases["safe_in_threads"])
    with pytest.raises(pytest.skip.Exception, match="no runtime runs this network|not run"):
        test(cases["runtime_keeps_the_numbers"])
    with pytest.raises(pytest.skip.Exception, match="the card has no weights"):
        test(cases["weights_are_as_declared"])


def test_weights_that_are_missing_are_asked_for_once_and_are_no_failed_check():
    asked = []

    class Absent(CorrectSound):
        card = dataclasses.replace(SOUND, weights=(WeightFile(name="absent.npz", sha256="0" * 64),))

    host = host_of(Absent)
    get = host.weights.get
    host.weights.get = lambda *file, **options: asked.append(file) or get(*file, **options)
    test = testing.conformance("correct.sound", host=host)
    for check in testing.CHECKS:
        if check.__name__ in ("embedder_loads", "same_twice", "safe_in_threads"):
            with pytest.raises(MissingWeights, match="absent.npz"):
                test(check)
    assert len(asked) == 1
    with pytest.raises(MissingWeights, match="absent.npz"):
        testing.check_model("correct.sound", host=host)


def test_every_check_has_a_docstring_and_a_wrong_embedder():
    tested = {check for _, check, _ in (*FAULTS, *faulty_words.FAULTS)}
    tested |= {"module_gives_the_rows", "module_is_a_trainable_copy", "derive_gives_the_same_network"}  # with torch
    elsewhere = {"import_is_light", "import_prints_nothing", "same_numbers_plugins_keep_them", "golden_file_agrees"}
    elsewhere |= {"load_is_light", "card_is_usual", "weights_are_as_declared", "runtime_keeps_the_numbers"}
    assert tested | elsewhere == {check.__name__ for check in testing.CHECKS}
    assert all(check.__doc__.startswith("Check that ") for check in testing.CHECKS)


def test_the_media_are_the_same_at_every_call_and_all_different():
    for make in (testing.images, lambda: testing.sounds(SOUND)):
        first, again = make(), make()
        assert all(np.array_equal(first[name], again[name]) for name in first)
        assert len({media.tobytes() for media in first.values()}) == len(first)


def test_generated_sounds_are_mono_float32_within_full_scale():
    for media in testing.sounds(SOUND).values():
        assert media.dtype == np.float32
        assert media.ndim == 1
        assert np.abs(media).max() <= 1
