"""The checks of the card: what is unusual, options, and the sizes of weight files."""

import dataclasses
import hashlib

import pytest

from faulty_embedders import HOP, SOUND, CorrectSound
from kit_runs import WithOptions, failures, host_of, results
from sightsound import testing
from sightsound.plugin import Option, UnknownModel, WeightFile, hookimpl


def variant(**fields):
    class Variant(CorrectSound):
        card = dataclasses.replace(SOUND, **fields)

    return Variant


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "correct"}, "name: 'correct' has no tag"),
        ({"hop": 500}, "hop: 500 exceeds window 400, so 100 samples between windows are not heard"),
        ({"license": ""}, "license: none stated"),
    ],
)
def test_what_is_unusual_on_a_card_is_remarked(fields, text):
    found = results(variant(**fields))["card_is_usual"]
    assert found.status == "passed"
    assert text in found.reason


def test_a_usual_card_has_no_remark():
    found = results(variant(license="Apache-2.0"))["card_is_usual"]
    assert (found.status, found.reason) == ("passed", "")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (HOP, ""),
        (Option("quick", help="half of the windows"), ""),
        (Option("bands", int, low=1, high=8, default=1, help="bands of the spectrum"), ""),
        (Option("taper", str, choices=("hann", "none"), default="hann", help="shape of a window"), ""),
        (Option("layer", str, help="rows from a layer"), "not tried: layer (any text)"),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_options_of_every_type_are_tried(option, reason):
    host = host_of(CorrectSound)
    embedder = variant(name="optional.sound", options=(option,))
    host.register(WithOptions(embedder), "optional")
    found = {each.check: each for each in testing.check_model("optional.sound", host=host)}
    assert (found["options_resolve"].status, found["options_resolve"].reason) == ("passed", reason)
    if not reason:
        name = next(name for name in (f"optional.sound[{text}]" for text in TRIED) if option.name in name)
        assert all(each.passed for each in testing.check_model(name, host=host))


def test_an_option_that_changes_nothing_on_the_card_is_named():
    host = host_of(CorrectSound)
    host.register(WithOptions(variant(name="optional.sound", options=(HOP,)), constants=SOUND.constants), "optional")
    found = {each.check: each for each in testing.check_model("optional.sound", host=host)}["options_resolve"]
    assert found.status == "failed"
    assert "option 'hop': expected another card for optional.sound[hop=0.1], got the numbers of the one" in found.reason


def test_an_option_that_needs_another_is_left_untried_with_the_reason():
    class Refusing(WithOptions):
        @hookimpl
        def resolve_embedder(self, name, options):
            raise UnknownModel("quick: expected with slow")

    host = host_of(CorrectSound)
    host.register(Refusing(variant(name="optional.sound", options=(Option("quick", help="less"),))), "optional")
    found = {each.check: each for each in testing.check_model("optional.sound", host=host)}["options_resolve"]
    assert (found.status, found.reason) == ("passed", "not tried: quick (quick: expected with slow)")


TRIED = ("hop=0.1", "quick", "bands=8", "taper=none")


def weights(path, size):
    return (WeightFile(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=size),)


def test_a_weight_file_of_another_size_than_on_the_card_is_named(tmp_path):
    (tmp_path / "filters.npz").write_bytes(b"12345")
    wrong = variant(weights=weights(tmp_path / "filters.npz", 7))
    found = {each.check: each for each in testing.check_model("correct.sound", host=host_of(wrong, weights=[tmp_path]))}
    assert [name for name, each in found.items() if not each.passed] == ["weights_are_as_declared"]
    assert (
        "filters.npz: expected 7 bytes as on the card, got 5; correct `size`" in found["weights_are_as_declared"].reason
    )


def test_a_file_that_the_user_gives_may_have_another_size(tmp_path):
    (tmp_path / "filters.npz").write_bytes(b"12345")
    right = variant(weights=weights(tmp_path / "filters.npz", 5))
    (tmp_path / "filters.npz").write_bytes(b"other weights")
    host = host_of(right, weights=[tmp_path / "filters.npz"])
    assert all(each.passed for each in testing.check_model("correct.sound", host=host))


def test_a_weight_file_without_a_hash_is_remarked(tmp_path):
    (tmp_path / "filters.npz").write_bytes(b"12345")
    embedder = variant(weights=(WeightFile(name="filters.npz"),))
    results_ = testing.check_model("correct.sound", host=host_of(embedder, weights=[tmp_path / "filters.npz"]))
    (remark,) = (each.reason for each in results_ if each.check == "card_is_usual")
    assert "weights: filters.npz has no hash, so the first file that is fetched is believed" in remark


def test_an_option_that_no_resolver_answers_for_is_one_failed_check():
    assert list(failures(variant(options=(HOP,)))) == ["options_resolve"]
