"""YAMNet in int8 as a graph of OpenVINO: against the network in torch, and against TFLite running the same file.

Every whole number is that of torch, so rows differ by the rounding of float32 alone: one other whole number in the last
feature map would change a row by 0.004. TFLite rounds the mean, which neither does.
"""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import reference
from audioset_data import LOG_MEL, MEAN, SCORES, YAMNET_GOLDENS, cosines, golden_patches, seeded_int8
from sampling import sampled
from sightsound import ClassList, SightsoundError
from sightsound.plugin import CannotRun, LinearHead
from sightsound_audioset import log_mel, yamnet
from sightsound_audioset.yamnet_int8 import read_tflite
from sightsound_audioset.yamnet_network import int8_network

openvino = pytest.importorskip("openvino", reason="needs OpenVINO (openvino)")

from sightsound_audioset import yamnet_openvino  # noqa: E402
from sightsound_audioset.yamnet_openvino import adds_exactly, compiled, int8_model  # noqa: E402

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(scope="module")
def embedder(tflite_file):
    return yamnet.load_i8("cpu", {"yamnet.tflite": tflite_file})


def run(model, patches, batch=8):
    """The outputs of a graph in batches; the last one is filled up."""
    network = compiled(model, batch)
    filled = np.concatenate([patches, np.zeros((-len(patches) % batch, 96, 64), np.float32)])
    results = [network(filled[start : start + batch]) for start in range(0, len(filled), batch)]
    return [np.concatenate([result[port] for result in results])[: len(patches)] for port in network.outputs]


def in_torch(network, patches):
    import torch

    with torch.inference_mode():
        return [each.numpy() for each in network(torch.from_numpy(patches))]


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("batch", sampled((1, 4, 16), 1, 16))
def test_seeded_weights_give_the_whole_numbers_of_torch(int8, batch):
    if int8 and not adds_exactly():
        pytest.skip("needs a processor whose int8 products do not saturate (VNNI)")
    weights, patches = seeded_int8(), reference.patches(17)
    expected = in_torch(int8_network(weights), patches)
    (rows,) = run(int8_model(weights, int8=int8), patches, batch)
    assert len(np.unique(np.rint(rows / weights.output_scale))) > 100
    np.testing.assert_allclose(rows, expected[0], **CLOSE)


def test_inputs_at_the_rounding_boundaries_are_those_of_torch(embedder, tflite_file):
    weights = read_tflite(tflite_file)
    halves = np.float32((np.arange(weights.input_low, weights.input_high) + 0.5) * weights.input_scale)
    inputs = np.concatenate([np.nextafter(halves, np.float32(-99)), halves, np.nextafter(halves, np.float32(99))])
    patches = np.resize(inputs, (8, 96, 64))
    found, expected = run(embedder.openvino_model(), patches), in_torch(embedder.module(), patches)
    np.testing.assert_allclose(found[0], expected[0], **CLOSE)


@pytest.mark.parametrize(
    "name",
    sampled(YAMNET_GOLDENS, "golden_chirp.npz", "golden_clip_dog_975ms.npz", "golden_short.npz", "golden_zeros.npz"),
)
def test_goldens_have_the_rows_and_scores_of_torch(name, shared, embedder):
    patches = golden_patches(np.load(shared / "goldens/yamnet" / name)["log_mel"])
    expected = in_torch(embedder.module(), patches)
    for found, wanted in zip(run(embedder.openvino_model(), patches, 4), expected, strict=True):
        np.testing.assert_allclose(found, wanted, **CLOSE)


def test_real_recordings_agree_window_for_window_with_torch_and_with_tflite(shared, embedder, litert):
    soundfile, soxr = pytest.importorskip("soundfile"), pytest.importorskip("soxr")
    files = sorted(shared.glob("data/esc10/0*/*.ogg"))[::10]
    assert len(files) == 40
    tensors = []
    for file in files:
        sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
        sound = soxr.resample(sound.mean(axis=1), rate, 16000)
        starts = range(0, len(sound) - log_mel.WINDOW + 1, yamnet.I8.hop)
        tensors += [litert(sound[start : start + log_mel.WINDOW]) for start in starts]
    patches, mean, scores = (np.stack([each[index] for each in tensors]) for index in (LOG_MEL, MEAN, SCORES))
    assert len(patches) > 300
    found = run(embedder.openvino_model(), patches)
    for array, wanted in zip(found, in_torch(embedder.module(), patches), strict=True):
        np.testing.assert_allclose(array, wanted, **CLOSE)
    cosine = cosines(found[0], mean.reshape(len(patches), -1))
    assert cosine.min() > 0.999 and cosine.mean() > 0.9999
    assert np.abs(found[1] - scores[:, 0]).max() < 0.12


def layers_by_type(network):
    """The types in which OpenVINO runs each kind of layer."""
    types = {}
    for node in network.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        types.setdefault(facts["layerType"].astype(str), []).append(facts["runtimePrecision"].astype(str))
    return types


def test_all_convolutions_run_in_int8_and_nothing_in_bf16():
    if not adds_exactly():
        pytest.skip("needs a processor whose int8 products do not saturate (VNNI)")
    types = layers_by_type(compiled(int8_model(seeded_int8()), 4))
    assert types["Convolution"] == 27 * ["u8"]
    assert "bf16" not in str(types)
    types = layers_by_type(compiled(int8_model(seeded_int8(), int8=False), 4))
    assert types["Convolution"] == 27 * ["f32"]
    assert not {"u8", "i8"} & {each for some in types.values() for each in some}


@pytest.mark.parametrize("instructions", sampled(("AVX512_CORE", "AVX2"), "AVX512_CORE"))
def test_int8_is_not_used_where_its_products_saturate(instructions):
    program = """
import json, sys, numpy as np
sys.path.insert(0, sys.argv[1])
from audioset_data import seeded_int8
from reference import patches
from sightsound_audioset.yamnet_openvino import adds_exactly, compiled, int8_model
rows = [compiled(int8_model(seeded_int8(), int8=int8), 2)(patches(2))[0] for int8 in (True, False, adds_exactly())]
print(json.dumps([adds_exactly(), *[bool(np.array_equal(each, rows[1])) for each in rows]]))
"""
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    command = [sys.executable, "-c", program, os.path.dirname(__file__)]
    done = subprocess.run(command, env=limited, capture_output=True, text=True, check=True)
    found, int8, float32, chosen = json.loads(done.stdout)
    if found and adds_exactly():
        pytest.skip("OpenVINO cannot be kept from using newer instructions here")
    assert (found, int8, float32, chosen) == (False, False, True, True)


def test_where_int8_saturates_the_network_is_in_float32(embedder, monkeypatch):
    monkeypatch.setattr(yamnet_openvino, "adds_exactly", lambda: False)
    names = {node.get_type_name() for node in embedder.openvino_model().get_ops()}
    assert "Convolution" in names and "FakeQuantize" not in names


def heads():
    random = np.random.default_rng(5)
    weight, bias = random.normal(0, 0.3, (3, 1024)), random.normal(0, 1, 3)
    twice = np.concatenate([weight, random.normal(0, 0.3, (3, 1024))], axis=1)
    labels = ("dog", "cat", "crow")
    yield "softmax", (weight.astype(np.float32), bias.astype(np.float32))
    yield "sigmoid", (weight.astype(np.float32), bias.astype(np.float32))
    yield "softmax", LinearHead(weight=4 * weight, bias=bias, kind="softmax", labels=labels, unit=True)
    rest = {"kind": "sigmoid", "labels": labels, "copies": 2, "sqrt": True, "unit": True}
    yield "sigmoid", LinearHead(weight=4 * twice, bias=bias, centre=random.uniform(0, 0.02, 2048), **rest)


@pytest.mark.parametrize(("kind", "head"), list(heads()))
@pytest.mark.parametrize("with_state", sampled((False, True), True))
def test_a_derived_network_has_its_head(embedder, kind, head, with_state):
    card = dataclasses.replace(
        embedder.card, name="mine", classes=ClassList("three", ("dog", "cat", "crow")), scores=kind, default_for=None
    )
    state = embedder.module().state_dict() if with_state else None
    derived = embedder.derive(card, state, head)
    patches = reference.patches(3)
    rows, scores = run(derived.openvino_model(), patches)
    expected = derived.embed(patches)
    assert np.ptp(expected.scores) > 0.1
    np.testing.assert_allclose(rows, expected.embeddings, **CLOSE)
    np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=1e-5)


def test_a_network_without_scores_has_embeddings_alone(embedder):
    card = dataclasses.replace(embedder.card, name="mine", classes=None, scores=None, default_for=None)
    (output,) = embedder.derive(card, None).openvino_model().outputs
    assert output.get_any_name() == "embedding"


def test_a_derived_network_has_its_own_whole_numbers_and_classifier(embedder):
    state = embedder.module().state_dict()
    state["body.2.bias"] = state["body.2.bias"] + 500
    state["classifier.bias"] = state["classifier.bias"] - 1
    derived = embedder.derive(dataclasses.replace(embedder.card, name="mine", default_for=None), state)
    patches = reference.patches(2)
    rows, scores = run(derived.openvino_model(), patches)
    expected = derived.embed(patches)
    assert np.abs(rows - embedder.embed(patches).embeddings).max() > 0.01
    np.testing.assert_allclose(rows, expected.embeddings, **CLOSE)
    np.testing.assert_allclose(scores, expected.scores, **CLOSE)


@pytest.mark.parametrize(
    ("name", "change"),
    [("body.0.weight", lambda x: x + 0.25), ("body.4.bias", lambda x: x * 1.1), ("body.6.weight", lambda x: x + 200)],
)
def test_trained_numbers_are_left_to_torch(embedder, name, change):
    state = embedder.module().state_dict()
    state[name] = change(state[name])
    derived = embedder.derive(dataclasses.replace(embedder.card, name="mine", default_for=None), state)
    with pytest.raises(
        CannotRun, match=rf"mine: expected the whole numbers of an int8 network, got others in {name[:6]}"
    ):
        derived.openvino_model()


def test_a_saved_graph_has_the_same_numbers(embedder, tmp_path):
    openvino.save_model(embedder.openvino_model(), tmp_path / "yamnet.xml", compress_to_fp16=False)
    patches = reference.patches(2)
    read = run(openvino.Core().read_model(tmp_path / "yamnet.xml"), patches, 2)
    for found, expected in zip(read, run(embedder.openvino_model(), patches, 2), strict=True):
        assert np.array_equal(found, expected)


def test_inputs_and_outputs_have_names_and_any_number_of_inputs(embedder):
    model = embedder.openvino_model()
    assert [port.get_any_name() for port in model.inputs] == ["input"]
    assert [port.get_any_name() for port in model.outputs] == ["embedding", "scores"]
    assert [str(port.get_partial_shape()) for port in (*model.inputs, *model.outputs)] == [
        "[?,96,64]",
        "[?,1024]",
        "[?,521]",
    ]


def test_another_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "yamnet.tflite").write_bytes(b"no model")
    with pytest.raises(SightsoundError, match=r"yamnet\.tflite: expected .*YAMNet.*, got") as error:
        yamnet.load_i8("cpu", {"yamnet.tflite": tmp_path / "yamnet.tflite"}).openvino_model()
    assert "\n" not in str(error.value)


def test_neither_loading_nor_the_graph_imports_torch(tflite_file):
    program = """
import sys
from pathlib import Path
from sightsound_audioset import yamnet
embedder = yamnet.load_i8("cpu", {"yamnet.tflite": Path(sys.argv[1])})
print("openvino" in sys.modules)
embedder.openvino_model()
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(tflite_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
