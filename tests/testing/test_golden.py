"""Golden files: rows and scores that a model must give again."""

import dataclasses

import numpy as np
import pytest

from faulty_embedders import IMAGE, SOUND, CorrectImage, CorrectSound
from kit_runs import failures, host_of, results
from sightsound import SightsoundError, testing
from sightsound.plugin import Output

HUM = np.sin(np.arange(1000, dtype=np.float32))


def test_a_golden_file_that_the_model_wrote_agrees(tmp_path):
    testing.write_golden(tmp_path / "correct.npz", "correct.sound", host=host_of(CorrectSound))
    assert failures(CorrectSound, golden=tmp_path / "correct.npz") == {}


def test_a_golden_file_replaces_no_file_of_a_library(tmp_path):
    (tmp_path / "library.sqlite").write_bytes(b"rows")
    with pytest.raises(SightsoundError, match="has the name of a file of the library"):
        testing.write_golden(tmp_path / "library.sqlite", "correct.sound", host=host_of(CorrectSound))
    assert (tmp_path / "library.sqlite").read_bytes() == b"rows"


def test_a_golden_file_of_other_numbers_is_refused_with_the_distance(tmp_path):
    media = {"hum": np.sin(np.arange(1000, dtype=np.float32))}
    testing.write_golden(
        tmp_path / "other.npz",
        "correct.sound",
        media,
        {"hum": np.ones((4, 8), np.float32)},
        about="the original program",
        host=host_of(CorrectSound),
    )
    found = failures(CorrectSound, golden=tmp_path / "other.npz")
    assert list(found) == ["golden_file_agrees"]
    assert "golden 'hum': expected rows within 0.001, got" in found["golden_file_agrees"]
    assert "made by correct.sound revision 1 (the original program)" in found["golden_file_agrees"]


def test_a_golden_file_of_another_revision_says_to_write_it_anew(tmp_path):
    testing.write_golden(tmp_path / "old.npz", "correct.sound", host=host_of(CorrectSound))

    class Newer(CorrectSound):
        card = dataclasses.replace(SOUND, revision=2)

    found = failures(Newer, golden=tmp_path / "old.npz")
    assert "expected revision 2, got one made by correct.sound revision 1" in found["golden_file_agrees"]


def test_a_file_of_another_kind_is_refused_as_a_golden_file(tmp_path):
    (tmp_path / "notes.npz").write_text("not an archive")
    np.savez(tmp_path / "rows.npz", rows=np.ones(3))
    for name in ("notes.npz", "rows.npz"):
        found = failures(CorrectSound, golden=tmp_path / name)
        assert "golden file: expected a file of testing.write_golden, got" in found["golden_file_agrees"]


class TwoSigmoids(CorrectSound):
    """The rows stay right, and the scores are plausible."""

    def embed(self, inputs):
        output = super().embed(inputs)
        scores = np.exp(output.scores)
        return Output(output.embeddings, scores / scores.sum(axis=1, keepdims=True))


def test_wrong_scores_of_right_rows_are_found_by_the_scores_of_a_golden_file(tmp_path):
    testing.write_golden(tmp_path / "correct.npz", "correct.sound", host=host_of(CorrectSound))
    assert failures(TwoSigmoids) == {}
    found = failures(TwoSigmoids, golden=tmp_path / "correct.npz")
    assert list(found) == ["golden_file_agrees"]
    assert "expected scores within 0.001, got" in found["golden_file_agrees"]


def test_scores_of_another_program_are_compared(tmp_path):
    rows = host_of(CorrectSound).load("correct.sound").rows(HUM)
    file, media = tmp_path / "hum.npz", {"hum": HUM}
    for scores, wrong in ((rows[2], False), (rows[2] + 0.002, True), (rows[2][:, :2], True)):
        testing.write_golden(
            file, "correct.sound", media, {"hum": rows[1]}, {"hum": scores}, host=host_of(CorrectSound)
        )
        assert bool(failures(CorrectSound, golden=file)) == wrong


def test_the_tolerance_of_scores_is_that_of_the_file(tmp_path):
    rows = host_of(CorrectSound).load("correct.sound").rows(HUM)
    given = {"hum": HUM}, {"hum": rows[1]}, {"hum": rows[2] + 0.002}
    testing.write_golden(
        tmp_path / "hum.npz", "correct.sound", *given, score_tolerance=0.01, host=host_of(CorrectSound)
    )
    assert failures(CorrectSound, golden=tmp_path / "hum.npz") == {}


def test_a_golden_file_without_scores_is_used_still_and_remarked(tmp_path):
    rows = host_of(CorrectSound).load("correct.sound").rows(HUM)[1]
    old = {"model": "correct.sound", "revision": 1, "tolerance": 1e-3, "about": ""}
    np.savez(tmp_path / "old.npz", **{"media/hum": HUM, "embeddings/hum": rows}, **old)
    found = results(CorrectSound, golden=tmp_path / "old.npz")["golden_file_agrees"]
    assert found.status == "passed"
    assert "the golden file has no scores" in found.reason


def test_a_golden_file_of_a_network_without_scores_has_none(tmp_path):
    class Plain(CorrectImage):
        card = dataclasses.replace(IMAGE, scores=None, classes=None)

        def embed(self, inputs):
            return Output(super().embed(inputs).embeddings)

    testing.write_golden(tmp_path / "plain.npz", "correct.image", host=host_of(Plain))
    found = results(Plain, golden=tmp_path / "plain.npz")["golden_file_agrees"]
    assert (found.status, found.reason) == ("passed", "")


def test_rows_or_scores_that_are_missing_for_an_item_are_named(tmp_path):
    media, rows = {"hum": HUM, "hiss": HUM[::-1]}, np.ones((4, 8), np.float32)
    with pytest.raises(SightsoundError, match="expected embeddings of each item, got none of 'hiss'"):
        testing.write_golden(tmp_path / "a.npz", "correct.sound", media, {"hum": rows}, host=host_of(CorrectSound))
    both = {"hum": rows, "hiss": rows}
    with pytest.raises(SightsoundError, match="expected scores of each item, got none of 'hiss'"):
        testing.write_golden(
            tmp_path / "a.npz", "correct.sound", media, both, {"hum": rows[:, :3]}, host=host_of(CorrectSound)
        )
