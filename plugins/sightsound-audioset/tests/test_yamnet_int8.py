"""YAMNet in int8: against TFLite running the same file, and against whole-number arithmetic in NumPy.

What int8 allows: given TFLite's own log-mel, the last feature map is TFLite's number for number. From the waveform,
TFLite's float32 transform moves some inputs across a rounding boundary; that happens where bins are nearly empty, as in
pure tones, and costs at most 1e-3 of the cosine in these sounds (0.0024 in the worst of 4,006 windows of ESC-10).
TFLite rounds the embedding and, coarsely, the logits (to 0.35), which we do not: its scores are within 0.12 of ours,
and within 0.001 on average.
"""

import numpy as np
import pytest
import tflite
import torch

import reference
from audioset_data import FEATURE_MAP, LOG_MEL, MEAN, SCORES, YAMNET_GOLDENS, cosines, seeded_int8
from sightsound import Host, SightsoundError, UnknownModel
from sightsound_audioset import log_mel, yamnet
from sightsound_audioset.yamnet_int8 import read_tflite
from sightsound_audioset.yamnet_network import int8_network, with_int8_instructions
from sightsound_audioset.yamnet_weights import BLOCKS


@pytest.fixture(scope="module")
def embedder(tflite_file):
    return yamnet.load_i8("cpu", {"yamnet.tflite": tflite_file})


def compared(embedder, litert, sound):
    """Our windows and outputs, and TFLite's tensors for the same windows, stacked."""
    windows = embedder.preprocess(sound, 0, True)
    padded = np.pad(sound, (0, log_mel.WINDOW))
    starts = range(0, len(windows.inputs) * yamnet.I8.hop, yamnet.I8.hop)
    tensors = [litert(padded[start : start + log_mel.WINDOW]) for start in starts]
    return windows.inputs, embedder.embed(windows.inputs), {i: np.stack([t[i] for t in tensors]) for i in tensors[0]}


@pytest.fixture(scope="module", params=["rising tone, clicks and noise", *YAMNET_GOLDENS])
def pair(request, embedder, litert):
    if not request.param.endswith(".npz"):
        return compared(embedder, litert, reference.signal())
    golden = request.getfixturevalue("shared") / "goldens/yamnet" / request.param
    return compared(embedder, litert, np.load(golden)["waveform"])


def test_the_front_end_is_that_of_the_file(pair):
    inputs, _, tensors = pair
    found, expected = np.exp(inputs.astype(np.float64)), np.exp(tensors[LOG_MEL].astype(np.float64))
    assert np.max(np.abs(found - expected).max(axis=2) / expected.max(axis=2)) < 5e-6


def test_given_the_files_log_mel_the_feature_map_is_that_of_tflite_number_for_number(pair, embedder):
    _, _, tensors = pair
    found = embedder.embed(tensors[LOG_MEL]).embeddings
    expected = tensors[FEATURE_MAP].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_inputs_near_a_rounding_boundary_are_rounded_as_in_tflite(shared, embedder, litert):
    """Two windows of this clip share an input of 103.5 scales, which TFLite rounds down: its factor is 1 / scale."""
    soundfile, soxr = pytest.importorskip("soundfile"), pytest.importorskip("soxr")
    sound, rate = soundfile.read(next(shared.glob("data/esc10/*/2-135728-A.ogg")), dtype="float32")
    sound = sound if sound.ndim == 1 else sound.mean(axis=1)
    _, _, tensors = compared(embedder, litert, soxr.resample(sound, rate, 16000))
    found = embedder.embed(tensors[LOG_MEL]).embeddings
    np.testing.assert_allclose(found, tensors[FEATURE_MAP].mean(axis=(1, 2, 3)), rtol=1e-6, atol=1e-7)


def test_inputs_are_multiplied_by_the_reciprocal_of_their_scale(tflite_file):
    """As XNNPACK does it: on these inputs a division would give the other neighbour."""
    weights = read_tflite(tflite_file)
    entry = int8_network(weights).entry
    halves = (np.arange(weights.input_low, weights.input_high) + 0.5) * weights.input_scale
    inputs = np.concatenate([np.nextafter(np.float32(halves), np.float32(side)) for side in (-99, 99)])
    inputs = np.concatenate([inputs, np.float32(halves)])
    scale = np.float32(weights.input_scale)
    expected = np.rint(inputs * (np.float32(1) / scale))
    assert 0 < np.sum(expected != np.rint(inputs / scale)) < 20
    with torch.inference_mode():
        assert np.array_equal(entry(torch.from_numpy(inputs)), expected)
    assert np.array_equal(entry(torch.from_numpy(inputs).requires_grad_()).detach(), expected)


def test_embeddings_are_those_inside_tflite(pair):
    _, output, tensors = pair
    assert cosines(output.embeddings, tensors[MEAN].reshape(len(output.embeddings), -1)).min() > 0.999


def test_scores_agree_as_far_as_rounded_logits_allow(pair):
    _, output, tensors = pair
    difference = np.abs(output.scores - tensors[SCORES][:, 0])
    assert difference.max() < 0.12
    assert difference.mean() < 1e-3


def test_real_recordings_agree_window_for_window(shared, embedder, litert):
    soundfile, soxr = pytest.importorskip("soundfile"), pytest.importorskip("soxr")
    files = sorted(shared.glob("data/esc10/0*/*.ogg"))[::40]
    assert len(files) == 10
    for file in files:
        sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
        _, output, tensors = compared(embedder, litert, soxr.resample(sound.mean(axis=1), rate, 16000))
        assert cosines(output.embeddings, tensors[MEAN].reshape(len(output.embeddings), -1)).min() > 0.999, file
        assert np.abs(output.scores - tensors[SCORES][:, 0]).max() < 0.12, file


def test_the_files_own_window_mel_matrix_and_offset_are_ours(tflite_file):
    model = tflite.Model.GetRootAs(tflite_file.read_bytes())
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]

    def constant(name):
        tensor = next(tensor for tensor in tensors if tensor.Name().decode() == name)
        return model.Buffers(tensor.Buffer()).DataAsNumpy().view("<f4").reshape(tensor.ShapeAsNumpy())

    np.testing.assert_allclose(constant("stft/hann_window/sub_2"), log_mel.hann(), rtol=0, atol=5e-7)
    np.testing.assert_allclose(constant("mel_spectrogram").T, log_mel.mel_matrix(), rtol=0, atol=5e-8)
    assert np.all(constant("add") == np.float32(yamnet.I8.constants["log_offset"]))


def test_the_labels_in_the_file_are_ours(tflite_file):
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(tflite_file.read_bytes())) as inside:
        (name,) = [name for name in inside.namelist() if name.endswith(".txt")]
        assert inside.read(name).decode().splitlines() == list(yamnet.I8.labels)


def whole_numbers(weights, patches):
    """The last feature map in int64 arithmetic, except for one multiplication in float32 per activation."""
    x = np.clip(
        np.rint(patches * (np.float32(1) / np.float32(weights.input_scale))), weights.input_low, weights.input_high
    )
    x = x.astype(np.int64)[..., np.newaxis]
    strides = [2] + [stride for _, second in BLOCKS for stride in (second, 1)]
    for found, stride in zip(weights.layers, strides):
        kernel, bias = found.kernel.astype(np.int64), found.bias.astype(np.int64)
        if kernel.ndim == 2:
            sums = x @ kernel.T + bias
        else:
            turned = kernel.transpose(2, 3, 1, 0) if x.shape[3] == 1 else kernel.transpose(2, 3, 0, 1)
            sums = reference.same_conv(x, turned, stride) + bias
        x = np.clip(np.rint(sums.astype(np.float32) * found.multiplier), 0, 255).astype(np.int64)
    return x


@pytest.mark.parametrize("instructions", [False, True])
def test_the_network_computes_in_whole_numbers_without_any_rounding_of_its_own(instructions):
    weights, patches = seeded_int8(), reference.patches(2)
    network = int8_network(weights)
    with torch.inference_mode():
        embeddings, _ = (with_int8_instructions(network) if instructions else network)(torch.from_numpy(patches))
    expected = whole_numbers(weights, patches)
    assert len(np.unique(expected)) > 100
    np.testing.assert_allclose(embeddings, expected.mean(axis=(1, 2)) * weights.output_scale, rtol=1e-6, atol=1e-7)


def test_no_sum_of_the_file_is_too_large_for_float32(tflite_file):
    for found in read_tflite(tflite_file).layers[:-1]:
        kernel = np.abs(found.kernel.astype(np.int64)).reshape(len(found.kernel), -1)
        assert np.max(255 * kernel.sum(axis=1) + np.abs(found.bias)) < 2**24 / 3


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"\x1c\0\0\0TFL3" + bytes(100), b"\xff" * 4 + b"TFL3" + b"\xff" * 99]
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "yamnet.tflite"
    path.write_bytes(content)
    with pytest.raises(SightsoundError, match=r"yamnet\.tflite: expected .*YAMNet.*, got") as error:
        yamnet.load_i8("cpu", {"yamnet.tflite": path}).prepare()
    assert "\n" not in str(error.value)


def test_no_runtime_is_asked_for_another_precision():
    host = Host()
    for name in ("yamnet.audioset_i8", "yamnet.audioset_i8[hop=0.24]"):
        assert list(host.precisions(name)) == ["float32"]
    with pytest.raises(UnknownModel, match="precision=bf16: no runtime offers it for this network"):
        host.card("yamnet.audioset_i8[precision=bf16]")


def test_the_precision_is_shown_as_int8(embedder):
    from sightsound.plugin import Execution

    assert Execution.of(embedder).precision == "int8"
