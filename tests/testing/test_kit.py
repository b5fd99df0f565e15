"""The conformance kit: a right embedder passes all of it, and each wrong one fails its own check and no other."""

import dataclasses
import itertools
import json
import sys
import time

import numpy as np
import pytest

from sightsound import hookimpl, testing
from sightsound.cli import main
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output, Windows
from sightsound.contract.errors import UnknownModel
from sightsound.host.host import Host
from sightsound.media import framing

SOUND = Card(
    name="right.sound",
    modality="sound",
    dim=8,
    input_shape=(400,),
    sample_rate=1000,
    window=400,
    hop=200,
    scores="softmax",
    labels=("low", "middle", "high"),
    constants={"bands": 8},
)
IMAGE = Card(
    name="right.image", modality="image", dim=12, input_shape=(2, 2, 3), scores="sigmoid", labels=("red", "blue")
)


class RightSound:
    """Energies of eight bands of the spectrum; the scores are the softmax of three sums."""

    card = SOUND

    def __init__(self, device="cpu", weights=()):
        pass

    def preprocess(self, media, start, last):
        return Windows(*framing.frames(self.card, media, start, last))

    def embed(self, inputs):
        power = np.abs(np.fft.rfft(inputs, axis=1)[:, :200]).reshape(len(inputs), 8, 25).mean(axis=2)
        rows = np.log(power + 1e-3).astype(np.float32)
        e = np.exp(rows[:, :3] - rows[:, :3].max(axis=1, keepdims=True))
        return Output(rows, e / e.sum(axis=1, keepdims=True))

    def postprocess(self, output):
        return output.embeddings


class RightImage(RightSound):
    """Means of four quarters of the picture."""

    card = IMAGE

    def preprocess(self, media, start, last):
        h, w = media.shape[:2]
        top, left = slice(0, max(1, h // 2)), slice(0, max(1, w // 2))
        quarters = [media[a, b] for a in (top, slice(h // 2, h)) for b in (left, slice(w // 2, w))]
        means = np.array([q.mean(axis=(0, 1)) for q in quarters], np.float32).reshape(1, 2, 2, 3)
        return Windows(means / np.float32(255))

    def embed(self, inputs):
        return Output(inputs.reshape(-1, 12).copy(), inputs[:, 0, 0, :2].copy())


def changed(output, **fields):
    return dataclasses.replace(output, **fields)


# -- wrong in the answer -----------------------------------------------------------------------------------------------


class Float64(RightSound):
    def postprocess(self, output):
        return output.embeddings.astype(np.float64)


class WrongDim(RightSound):
    def postprocess(self, output):
        return output.embeddings[:, :7]


class ListForArray(RightSound):
    def postprocess(self, output):
        return output.embeddings.tolist()


class NaN(RightSound):
    def postprocess(self, output):
        rows = output.embeddings.copy()
        rows[:, 3] = np.nan
        return rows


class NaNOnSilence(RightSound):
    def embed(self, inputs):
        with np.errstate(all="ignore"):
            return super().embed(inputs / np.abs(inputs).max(axis=1, keepdims=True))


class Constant(RightSound):
    def embed(self, inputs):
        return super().embed(np.ones_like(inputs))


class Random(RightSound):
    def embed(self, inputs):
        return super().embed(inputs + np.random.default_rng().normal(0, 0.1, inputs.shape))


class AnotherAtEachLoad(RightSound):
    turns = itertools.count(1)

    def __init__(self, device="cpu", weights=()):
        self.gain = next(self.turns)

    def embed(self, inputs):
        return super().embed(inputs * self.gain)


class BatchNormInTraining(RightSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, embeddings=output.embeddings - output.embeddings.mean(axis=0))


class Shuffled(RightSound):
    """Gives its rows in another order than it got the inputs, when there are many."""

    def embed(self, inputs):
        output = super().embed(inputs)
        turned = np.roll(np.arange(len(inputs)), 1) if len(inputs) > 5 else np.arange(len(inputs))
        return Output(output.embeddings[turned], output.scores[turned])


# -- wrong in time -----------------------------------------------------------------------------------------------------


class SpansOutside(RightSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        return changed(found, spans=np.stack([found.spans[:, 0], found.spans[:, 0] + 0.4], axis=1))


class SpansInSamples(RightSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        return changed(found, spans=found.spans * self.card.sample_rate)


class SpansUnordered(RightSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        return changed(found, spans=found.spans[::-1])


class SpansWithoutStart(RightSound):
    def preprocess(self, media, start, last):
        return super().preprocess(media, 0, last)


class DropsTheTail(RightSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        keep = -1 if found.padded and (start or len(found.inputs) > 1) else None
        return Windows(found.inputs[:keep], found.spans[:keep], found.padded and keep is None)


class NeverPadded(RightSound):
    def preprocess(self, media, start, last):
        return changed(super().preprocess(media, start, last), padded=False)


class PadsEveryBlock(RightSound):
    def preprocess(self, media, start, last):
        return super().preprocess(media if last else np.pad(media, (0, 200)), start, last)


class LevelOfTheBlock(RightSound):
    def preprocess(self, media, start, last):
        return super().preprocess(media / max(np.abs(media).max(), np.float32(1e-6)), start, last)


class KeepsTheBlockBefore(RightSound):
    """Right for one recording after the other, wrong as soon as two come by turns."""

    level = 0.0

    def preprocess(self, media, start, last):
        self.level = float(np.abs(media[:400]).max()) if start == 0 else self.level
        return super().preprocess(media / np.float32(self.level + 1e-6), start, last)


# -- wrong in manners --------------------------------------------------------------------------------------------------


class WritesIntoMedia(RightSound):
    def preprocess(self, media, start, last):
        media *= np.float32(0.5)
        return super().preprocess(media, start, last)


class WritesIntoInputs(RightSound):
    def embed(self, inputs):
        inputs -= inputs.mean(axis=1, keepdims=True)
        return super().embed(inputs)


class WritesIntoEmbeddings(RightSound):
    def postprocess(self, output):
        np.maximum(output.embeddings, 0, out=output.embeddings)
        return output.embeddings


class OneBufferForAllThreads(RightSound):
    def preprocess(self, media, start, last):
        self.media = media
        time.sleep(0.01)
        return super().preprocess(self.media, start, last)


class CrashesOnOneSample(RightSound):
    def preprocess(self, media, start, last):
        media[1]
        return super().preprocess(media, start, last)


class CrashesOnOnePixel(RightImage):
    def preprocess(self, media, start, last):
        media[1, 1]
        return super().preprocess(media, start, last)


# -- wrong in scores and card ------------------------------------------------------------------------------------------


class Logits(RightSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=output.embeddings[:, :3] * 5)


class SoftmaxOverAWrongAxis(RightSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=output.scores / 2)


class ABackgroundClass(RightSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=np.pad(output.scores, ((0, 0), (1, 0))))


class NoScores(RightSound):
    def embed(self, inputs):
        return changed(super().embed(inputs), scores=None)


class ScoresUndeclared(RightImage):
    card = dataclasses.replace(IMAGE, scores=None, labels=())


class LabelsWithLineEnds(RightSound):
    card = dataclasses.replace(SOUND, labels=("low\n", "middle\n", "high"))


class TwoOfOneName(RightSound):
    card = dataclasses.replace(SOUND, labels=("low", "middle", "low"))


class ScoresOfNothing(RightSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=np.full_like(output.scores, 1 / 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongerCard(Card):
    paper: str = ""


class CardOfItsOwn(RightSound):
    card = LongerCard(**{f.name: getattr(SOUND, f.name) for f in dataclasses.fields(SOUND)}, paper="Acme 2026")


WRONG = [
    (Float64, "shapes_and_dtypes", "got float64; convert with .astype(np.float32)"),
    (WrongDim, "shapes_and_dtypes", "expected float32 (6, 8), got (6, 7)"),
    (ListForArray, "shapes_and_dtypes", "expected a NumPy array float32 (6, 8), got list"),
    (NaN, "rows_are_finite", "postprocess of 'noise': expected finite numbers"),
    (NaNOnSilence, "rows_are_finite", "of 'silence': expected finite numbers"),
    (Constant, "different_inputs_differ", "likely the input never reaches the network"),
    (Random, "same_twice", "call .eval()"),
    (AnotherAtEachLoad, "same_after_a_reload", "strict=True"),
    (BatchNormInTraining, "independent_of_the_batch", "batch normalisation in training mode"),
    (Shuffled, "independent_of_the_batch", "of a batch: expected the rows that the whole batch gives"),
    (SpansOutside, "spans_are_ordered_and_inside", "clip the end to the item"),
    (SpansInSamples, "spans_are_ordered_and_inside", "samples for seconds"),
    (SpansUnordered, "spans_are_ordered_and_inside", "in the order of time"),
    (SpansWithoutStart, "blocks_equal_the_whole", "is `start` added?"),
    (DropsTheTail, "windows_as_the_card_says", "likely a tail that is dropped"),
    (NeverPadded, "windows_as_the_card_says", "expected padded=True, got False"),
    (PadsEveryBlock, "blocks_equal_the_whole", "likely every block is padded"),
    (LevelOfTheBlock, "blocks_equal_the_whole", "over the whole block instead of each window"),
    (KeepsTheBlockBefore, "blocks_equal_the_whole", "kept from the block before"),
    (WritesIntoMedia, "inputs_stay_unchanged", "preprocess changed its media"),
    (WritesIntoInputs, "inputs_stay_unchanged", "embed changed its inputs"),
    (WritesIntoEmbeddings, "inputs_stay_unchanged", "postprocess changed its embeddings"),
    (OneBufferForAllThreads, "safe_in_threads", "likely a buffer or a setting kept in self"),
    (CrashesOnOneSample, "odd_inputs_work", "one sample: preprocess raised IndexError"),
    (CrashesOnOnePixel, "odd_inputs_work", "1 x 1 pixel: preprocess raised IndexError"),
    (Logits, "scores_in_range", "likely logits: apply the softmax"),
    (SoftmaxOverAWrongAxis, "scores_in_range", "a softmax over the wrong axis"),
    (ABackgroundClass, "scores_in_range", "a background class too many"),
    (NoScores, "scores_in_range", "got None; embed has to return Output(rows, scores)"),
    (ScoresUndeclared, "scores_in_range", "declare scores and labels, or drop them"),
    (LabelsWithLineEnds, "labels_name_the_scores", "likely a table read with its line ends"),
    (TwoOfOneName, "labels_name_the_scores", "got 'low' twice; tell the classes apart, or give label_ids"),
    (ScoresOfNothing, "labels_name_the_scores", "expected different ones for different items, got the same"),
    (CardOfItsOwn, "card_survives_json", "unknown fields"),
]


class Plugin:
    """A plugin of one embedder, registered by hand."""

    def __init__(self, embedder):
        self.embedder = embedder

    @hookimpl
    def register_embedders(self, register):
        register(self.embedder.card, self.embedder)


def host_of(embedder, *stages):
    host = Host(installed=False)
    host.register(Plugin(embedder), "own")
    for stage in stages:
        host.register(stage, type(stage).__name__)
    return host


def failures(embedder, *stages, **options):
    results = testing.check_model(embedder.card.name, host=host_of(embedder, *stages), **options)
    assert [result.check for result in results] == [check.__name__ for check in testing.CHECKS]
    return {result.check: result.reason for result in results if not result.passed}


@pytest.mark.parametrize("embedder", [RightSound, RightImage])
def test_a_right_embedder_passes_every_check(embedder):
    assert failures(embedder) == {}


@pytest.mark.parametrize(("embedder", "check", "text"), WRONG, ids=[row[0].__name__ for row in WRONG])
def test_a_wrong_embedder_fails_its_own_check_and_no_other(embedder, check, text):
    found = failures(embedder)
    assert list(found) == [check]
    assert text in found[check]


def test_a_card_without_windows_is_checked_on_whole_recordings():
    class Whole(RightSound):
        card = dataclasses.replace(SOUND, name="whole.sound", window=None, hop=None)

        def preprocess(self, media, start, last):
            padded = np.pad(media, (0, max(0, 400 - len(media))))[:400]
            return Windows(padded[None], np.array([[0, len(media) / 1000]]), len(media) < 400)

    assert failures(Whole) == {}


def test_a_stage_that_raises_is_a_failed_check_with_its_reason():
    class Raises(RightSound):
        def embed(self, inputs):
            raise RuntimeError("no kernel image")

    assert "embed raised RuntimeError: no kernel image" in failures(Raises)["shapes_and_dtypes"]


def test_a_stage_that_returns_nothing_is_told_so():
    class Nothing(RightSound):
        def postprocess(self, output):
            pass

    assert "postprocess returned nothing" in failures(Nothing)["shapes_and_dtypes"]


# -- stage plugins, imports, golden files ------------------------------------------------------------------------------


class Rounds:
    """Says that it leaves the numbers as they are, and rounds them."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return np.round((yield), 1)


class Counts:
    """Leaves the numbers as they are."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        return (yield)


class Doubles(Rounds):
    """Changes the numbers and says so."""

    same_numbers = False

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return np.float32(2) * (yield)


def test_a_stage_plugin_that_breaks_its_same_numbers_is_named():
    found = failures(RightSound, Counts(), Rounds(), Doubles())
    assert list(found) == ["same_numbers_plugins_keep_them"]
    assert "stage plugin 'Rounds'" in found["same_numbers_plugins_keep_them"]


def test_stage_plugins_that_keep_the_numbers_or_say_that_they_change_them_pass():
    assert failures(RightSound, Counts(), Doubles()) == {}


def installed(folder, monkeypatch, code):
    """A distribution with one entry point, as pip would have laid it down."""
    (folder / "acme_heavy.py").write_text(code)
    info = folder / "acme_heavy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-heavy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sightsound]\nown = acme_heavy\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@pytest.mark.parametrize(
    "code",
    ["import torch", "def register_embedders(register):\n    import torch"],
    ids=["at the top", "while registering"],
)
def test_a_plugin_that_imports_its_framework_too_early_is_told_which(tmp_path, monkeypatch, code):
    (tmp_path / "torch.py").write_text("")  # a stand-in: what counts is the name in sys.modules
    installed(tmp_path, monkeypatch, code)
    found = failures(RightSound)
    assert list(found) == ["import_is_light"]
    assert (
        "import of acme_heavy: expected no framework, got torch; move its import into load" in found["import_is_light"]
    )


def test_a_light_plugin_passes_the_import_check(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "import numpy")
    assert failures(RightSound) == {}


def test_a_golden_file_that_the_model_wrote_agrees(tmp_path):
    testing.write_golden(tmp_path / "right.npz", "right.sound", host=host_of(RightSound))
    assert failures(RightSound, golden=tmp_path / "right.npz") == {}


def test_a_golden_file_of_other_numbers_is_refused_with_the_distance(tmp_path):
    media = {"hum": np.sin(np.arange(1000, dtype=np.float32))}
    testing.write_golden(
        tmp_path / "other.npz",
        "right.sound",
        media,
        {"hum": np.ones((4, 8), np.float32)},
        about="the original program",
        host=host_of(RightSound),
    )
    found = failures(RightSound, golden=tmp_path / "other.npz")
    assert list(found) == ["golden_file_agrees"]
    assert "golden 'hum': expected rows within 0.001, got" in found["golden_file_agrees"]
    assert "made by right.sound revision 1 (the original program)" in found["golden_file_agrees"]


def test_a_golden_file_of_another_revision_says_to_write_it_anew(tmp_path):
    testing.write_golden(tmp_path / "old.npz", "right.sound", host=host_of(RightSound))

    class Newer(RightSound):
        card = dataclasses.replace(SOUND, revision=2)

    found = failures(Newer, golden=tmp_path / "old.npz")
    assert "expected revision 2, got one made by right.sound revision 1" in found["golden_file_agrees"]


def test_a_file_that_is_no_golden_file_is_told_so(tmp_path):
    (tmp_path / "notes.npz").write_text("not an archive")
    np.savez(tmp_path / "rows.npz", rows=np.ones(3))
    for name in ("notes.npz", "rows.npz"):
        found = failures(RightSound, golden=tmp_path / name)
        assert "golden file: expected a file of testing.write_golden, got" in found["golden_file_agrees"]


# -- how the kit is called ---------------------------------------------------------------------------------------------

test_conformance_is_one_line = testing.conformance("right.image", host=host_of(RightImage))


def test_a_loaded_model_can_be_checked_too():
    host = host_of(RightSound)
    assert all(result.passed for result in testing.check_model(host.load("right.sound"), host=host))


def test_an_unknown_model_is_an_error_and_not_a_result():
    with pytest.raises(UnknownModel, match="no embedder 'wrong"):
        testing.check_model("wrong.sound", host=host_of(RightSound))


def test_every_check_has_a_docstring_and_a_wrong_embedder():
    tested = {check for _, check, _ in WRONG}
    elsewhere = {"import_is_light", "same_numbers_plugins_keep_them", "golden_file_agrees"}
    assert tested | elsewhere == {check.__name__ for check in testing.CHECKS}
    assert all(check.__doc__ for check in testing.CHECKS)


def test_the_media_are_the_same_at_every_call_and_all_different():
    for make in (testing.pictures, lambda: testing.sounds(SOUND)):
        first, again = make(), make()
        assert all(np.array_equal(first[name], again[name]) for name in first)
        assert len({media.tobytes() for media in first.values()}) == len(first)


def test_generated_sounds_are_mono_float32_within_full_scale():
    for media in testing.sounds(SOUND).values():
        assert media.dtype == np.float32
        assert media.ndim == 1
        assert np.abs(media).max() <= 1


# -- the command -------------------------------------------------------------------------------------------------------


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["check-model", *map(str, arguments)])
    shown = capsys.readouterr()
    return left.value.code, shown.out, shown.err


@pytest.fixture
def own(tmp_path, monkeypatch):
    """`right.sound` and `WrongDim`'s network as an installed plugin."""
    code = "import dataclasses, test_testing as t\nfrom sightsound import hookimpl\nclass Bad(t.WrongDim):\n"
    code += "    card = dataclasses.replace(t.SOUND, name='wrong.dim')\n@hookimpl\ndef register_embedders(register):\n"
    code += "    register(t.SOUND, t.RightSound)\n    register(Bad.card, Bad)\n"
    installed(tmp_path, monkeypatch, code)


def test_the_command_prints_a_row_for_each_check_and_leaves_with_0(own, capsys):
    code, out, _ = command(capsys, "right.sound")
    assert code == 0
    assert all(check.__name__.replace("_", " ") in out for check in testing.CHECKS)
    assert f"{len(testing.CHECKS)} of {len(testing.CHECKS)} checks passed" in out


def test_the_command_names_what_failed_and_leaves_with_1(own, capsys):
    code, out, _ = command(capsys, "wrong.dim")
    assert code == 1
    assert "postprocess(): expected float32 (6, 8), got (6, 7)" in out


def test_the_command_prints_json_for_programs(own, capsys):
    code, out, _ = command(capsys, "wrong.dim", "--json")
    assert code == 1
    assert [row["check"] for row in json.loads(out) if not row["passed"]] == ["shapes_and_dtypes"]


def test_the_command_takes_a_golden_file(own, capsys, tmp_path):
    testing.write_golden(tmp_path / "right.npz", "right.sound", host=host_of(RightSound))
    code, out, _ = command(capsys, "right.sound", "--golden", tmp_path / "right.npz")
    assert code == 0
    assert "no golden file" not in out


def test_the_command_leaves_with_2_for_an_unknown_model(own, capsys):
    code, _, err = command(capsys, "right.sund")
    assert code == 2
    assert "did you mean 'right.sound'?" in err
