"""Imported SavedModels against TensorFlow's own results."""

import numpy as np
import pytest

from sightsound import SightsoundError, index, search
from sightsound.testing import check_model

pytestmark = pytest.mark.tensorflow

RATE = 16_000


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_network_of_windows_gives_its_own_rows_and_scores(saved, imported, load):
    model = imported(saved("waves"), rate=1000, hop=0.4, labels=("a", "b", "c"), logits=True, embedding="embedding")
    assert (model.card.window, model.card.hop, model.card.dim) == (800, 400, 6)
    sound = noise(2000)
    spans, rows, scores = model.rows(sound)
    expected = load(saved("waves"))(np.stack([sound[start : start + 800] for start in range(0, 1201, 400)]))
    np.testing.assert_allclose(rows, expected["embedding"], rtol=1e-5, atol=1e-6)
    powers = np.exp(expected["logits"])
    np.testing.assert_allclose(scores, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)
    assert spans.tolist() == [[0, 0.8], [0.4, 1.2], [0.8, 1.6], [1.2, 2.0]]


def test_sigmoids_of_logits(saved, imported, load):
    model = imported(saved("waves"), rate=1000, labels=("a", "b", "c"), logits=True, scores="sigmoid")
    sound = 50 * noise(800)
    logits = load(saved("waves"))(sound[np.newaxis])["logits"].numpy().astype(np.float64)
    np.testing.assert_allclose(model.rows(sound)[2], 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_rows_of_frames_are_averaged(saved, imported, load):
    model = imported(saved("frames"), rate=1000, window=0.5)
    sound = noise(500)
    expected = load(saved("frames"))(sound[np.newaxis]).numpy()
    assert expected.shape == (1, 5, 6)
    np.testing.assert_allclose(model.rows(sound)[1], expected.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_vggish_is_recognised_and_keeps_its_own_frames(saved, imported, load):
    model = imported(saved("vggish"))
    assert (model.card.sample_rate, model.card.window, model.card.hop) == (RATE, 15_600, 15_360)
    sound = noise(15_600 + 2 * 15_360)
    expected = load(saved("vggish"))(sound).numpy()
    assert expected.shape == (3, 128)
    np.testing.assert_allclose(model.rows(sound)[1], expected, rtol=1e-4, atol=1e-5)
    assert model.rows(sound)[2] is None


@pytest.mark.parametrize("samples", [1_000, 15_600, 15_601, 50_000])
def test_yamnet_is_recognised_and_keeps_its_own_frames_and_classes(saved, imported, load, samples):
    model = imported(saved("yamnet"))
    assert (model.card.sample_rate, model.card.window, model.card.hop) == (RATE, 15_600, 7_680)
    assert (model.card.labels, model.card.scores) == (("A", "B, b", "C", "D"), "sigmoid")
    assert model.card.classes.ids == ("/m/a", "/m/b", "/m/c", "/m/d")
    scores, embeddings, _ = load(saved("yamnet"))(noise(samples))
    found = model.rows(noise(samples))
    np.testing.assert_allclose(found[1], embeddings, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[2], scores, rtol=1e-4, atol=1e-5)


def test_what_the_user_says_about_windows_holds_for_a_network_that_is_recognised(saved, imported, load):
    model = imported(saved("yamnet"), rate=RATE, window=1.95)
    assert (model.card.window, model.card.hop) == (31_200, 31_200)
    sound = noise(31_200)
    expected = load(saved("yamnet"))(sound)[1].numpy()
    assert len(expected) == 4
    np.testing.assert_allclose(model.rows(sound)[1], expected.mean(axis=0, keepdims=True), rtol=1e-4, atol=1e-5)


def test_images_are_from_0_to_1_and_training_is_off(saved, imported, load):
    model = imported(saved("pictures"))
    assert model.card.input_shape == (12, 12, 3)
    image = picture(12, 12)
    expected = load(saved("pictures"))(np.float32([image / 255]), False)
    np.testing.assert_allclose(model.rows(image)[1], expected, rtol=1e-5, atol=1e-5)


def test_a_signature_by_name_and_the_mean_over_a_feature_map(saved, imported, load):
    image = picture(10, 14)
    expected = load(saved("maps")).signatures["serving_default"](images=np.float32([image / 255]))["features"].numpy()
    assert expected.shape == (1, 10, 14, 4)
    for settings, sign in (({}, 1), ({"input": "negative"}, -1), ({"input": "other"}, -1)):
        rows = imported(saved("maps"), size=(10, 14), **settings).rows(image)[1]
        np.testing.assert_allclose(rows, sign * expected.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "settings"), [("pictures", {}), ("yamnet", {}), ("waves", {"rate": 1000})], ids=str)
def test_it_conforms(saved, imported, host, kind, settings):
    imported(saved(kind), **settings)
    results = check_model("mine", host=host)
    assert len(results) > 20
    assert [str(result) for result in results if not result.passed] == []


def test_it_is_indexed_and_searched(saved, imported, host, tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    for seed in range(3):
        Image.fromarray(picture(12, 12, seed)).save(tmp_path / "images" / f"{seed}.png")
    imported(saved("pictures"))
    index(tmp_path / "images", tmp_path / "lib", models=["mine"], host=host)
    hits = search(tmp_path / "images" / "1.png", tmp_path / "lib", copies=True, host=host)
    assert (hits[0].item.path, len(hits)) == ("1.png", 3)
    assert hits[0].score == pytest.approx(1, abs=1e-5)


def test_the_execution_is_one_core_for_each_worker(saved, imported, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "3")
    model = imported(saved("pictures"))
    assert (model.execution.workers, model.execution.threads, model.execution.device) == (3, 1, "cpu")


def test_a_gpu_that_is_not_there_is_refused(tf, saved, imported, host):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    imported(saved("pictures"))
    with pytest.raises(SightsoundError, match=r"device 'cuda:1': TensorFlow sees no GPUs .*; use --device cpu"):
        host.load("mine", "cuda:1")
    assert host.load("mine", "auto").execution.device == "cpu"


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("waves", {}, r"mine: rate: expected Hz for sound; give --rate"),
        ("waves", {"rate": 1000, "window": 0.5}, r"mine: window: expected 0.8 s \(800 samples\), got 0.5 s"),
        (
            "waves",
            {"rate": 1000, "embedding": "rows"},
            r"embedding: expected .* embedding \(6\), logits \(3\), got rows",
        ),
        ("waves", {"rate": 1000, "labels": ("a", "b")}, r"mine: labels: expected 3, one for each score, got 2"),
        ("waves", {"rate": 1000, "labels": ("a", "b", "c")}, r"mine: scores: expected probabilities .*; give --logits"),
        ("waves", {"modality": "image"}, r"mine: input: expected four axes for images, got \?x800"),
        ("frames", {"rate": 1000}, r"mine: window: expected the length of a window; give --rate and --window"),
        ("frames", {"rate": 1000, "window": 0.05}, r"mine: window: expected one row or more, got none"),
        ("pictures", {"size": (10, 10)}, r"mine: size: expected 12x12, got 10x10; leave --size out"),
        ("pictures", {"channels": "gray"}, r"mine: input: expected \?x12x12x3, got 12x12x1; see --channels"),
        ("pictures", {"rate": 1000}, r"mine: input: expected samples of sound, got \?x12x12x3"),
        ("maps", {}, r"mine: size: expected pixels, as the file says none; give --size"),
        ("maps", {"size": (8, 8), "input": "no"}, r"functions .*\(other, rows, serving_default, negative\), got no;"),
        ("texts", {}, r"texts.savedmodel: input: expected one of the functions .* \(none\), got none; give --input"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused_in_one_line(saved, imported, kind, settings, message):
    with pytest.raises(SightsoundError, match=message) as refused:
        imported(saved(kind), **settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
)
def test_a_damaged_file_is_refused_in_one_line(saved, imported, tmp_path, name):
    import shutil

    folder = shutil.copytree(saved("waves"), tmp_path / "damaged")
    file = folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SightsoundError, match=r"^damaged.savedmodel: expected a SavedModel, got: ") as refused:
        imported(folder, rate=1000)
    assert "\n" not in str(refused.value)


GOLDENS = ("chirp", "clip_speech", "one_window_plus_1", "short", "sine440")


def test_the_yamnet_of_the_shared_data_gives_the_scores_of_the_other_loader(shared, imported, host, load):
    """Two loaders of the same weights: the SavedModel here, and Google's Keras file in sightsound-audioset."""
    pytest.importorskip("sightsound_audioset", reason="needs sightsound-audioset")
    from sightsound import Host

    model = imported(shared / "weights/yamnet/savedmodel", name="yamnet.saved")
    itself = load(shared / "weights/yamnet/savedmodel")
    other = Host(weights=[shared / "weights/yamnet/yamnet.h5"]).load("yamnet.audioset_f32", "cpu")
    assert (model.card.labels, model.card.classes.ids) == (other.card.labels, other.card.classes.ids)
    for name in GOLDENS:
        golden = np.load(shared / f"goldens/yamnet/golden_{name}.npz")
        spans, rows, scores = model.rows(golden["waveform"])
        other_spans, other_rows, other_scores = other.rows(golden["waveform"])
        np.testing.assert_array_equal(spans, other_spans)
        np.testing.assert_allclose(scores, other_scores, atol=1e-3)
        np.testing.assert_allclose(scores, golden["scores"], atol=1e-5)
        np.testing.assert_allclose(rows, golden["embeddings"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(scores, itself(golden["waveform"])[0], atol=1e-5)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(other_rows, axis=1)
        assert ((rows * other_rows).sum(axis=1) / lengths).min() > 0.9999, name
