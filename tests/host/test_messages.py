"""What users and authors read when a plugin fails: the network, the plugin, the stage, the cause and the next step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import made
from distributions import DISTS
from sightsound import Host, embed, fit_probe, hookimpl, index, load_dataset, predict, search, stats
from sightsound.contract.errors import NotMedia, PluginError, SpaceMismatch, UnknownModel
from sightsound.contract.results import Item
from sightsound.host.advice import remedies
from sightsound.host.discovery import Plugin
from sightsound.host.missing import how_to_install
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items

NETWORK = """
import numpy as np
from sightsound.plugin import Card, Output, Windows, hookimpl
{at_import}
CARD = Card(name="net.acme", modality="{modality}", dim=4, input_shape=(4,), {more})
class Net:
    card = CARD
    def preprocess(self, media, start, last):
        {preprocess}
        spans = None if "{modality}" == "image" else np.array([[0, len(media) / 1600]], float)
        return Windows(np.resize(media.astype(np.float32), (1, 4)), spans)
    def embed(self, inputs):
        {embed}
        return Output(inputs.copy())
    def postprocess(self, output):
        {postprocess}
        return output.embeddings
def load(device, weights):
    {load}
    return Net()
@hookimpl
def register_embedders(register):
    {register}
    register(CARD, load)
"""
FAULT = 'raise KeyError("deep inside")'
WHERE = ("at_import", "register", "load", "preprocess", "embed", "postprocess")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with installed distributions, for this process and for `command`."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.fixture
def network(site):
    """`network(embed="...")` installs the plugin `net` of acme-net, with these lines in its parts."""

    def write(name: str = "net", modality: str = "image", more: str = "", **lines: str) -> None:
        parts = {where: lines.get(where, "pass") for where in WHERE}
        module = NETWORK.format(modality=modality, more=more, **parts).replace("net.acme", f"{name}.acme")
        (site / f"acme_{name}.py").write_text(module)
        info = site / f"acme_{name}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sightsound]\n{name} = acme_{name}\n")

    return write


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return made.write_image(tmp_path / "media" / "a.png")


def indexing(command, image, *before, model="net.acme"):
    return command(*before, "index", image.parent, "-l", image.parents[1] / "zoo", "-m", model, plugins=())


# -- tracebacks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("words", ["plugins", "check-model", "tag", "index", "embed"])
def test_with_v_the_traceback_of_a_plugin_is_shown(command, network, image, tmp_path, words, where):
    network(**{where: FAULT})
    arguments = {
        "plugins": ["plugins"],
        "check-model": ["check-model", "net.acme"],
        "tag": ["tag", image, "-m", "net.acme"],
        "index": ["index", image, "-l", tmp_path / "zoo", "-m", "net.acme"],
        "embed": ["embed", image, "-o", tmp_path / "rows.npz", "-m", "net.acme"],
    }[words]
    again = ["--retry"] if words == "index" else []
    loaded = words != "plugins" or where in ("at_import", "register")
    if words == "tag" and where not in ("at_import", "register"):
        scored = {"embed": SCORED, "at_import": CLASSES, where: FAULT}
        network(**scored, more='scores="softmax", classes=CLASSES,')
    plain, verbose = command(*arguments, plugins=()), command("-v", *arguments, *again, plugins=())
    assert (plain.returncode == 0) == (words == "plugins")
    assert "Traceback" not in plain.stdout + plain.stderr
    shown = verbose.stdout + verbose.stderr
    if loaded:
        assert "Traceback" in shown and "acme_net.py" in shown and "deep inside" in shown


SCORED = "return Output(inputs.copy(), np.full((len(inputs), 2), 0.5, np.float32))"
CLASSES = "from sightsound.plugin import ClassList; CLASSES = ClassList('two', ('a', 'b'))"


# -- what is missing -----------------------------------------------------------------------------------------------


def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason_and_the_line_that_installs(command, network, image):
    network(at_import="import an_absent_framework")
    line = (
        "net (ModuleNotFoundError: No module named 'an_absent_framework'; install it: pip install an_absent_framework)"
    )
    for ran in (indexing(command, image), command("check-model", "net.acme", plugins=())):
        assert ran.returncode == 2 and line in ran.stderr and "did you mean" not in ran.stderr
    assert "install it: pip install an_absent_framework" in command("plugins", plugins=()).stdout


def test_a_framework_that_is_missing_at_load_names_the_line_that_installs_it(command, network, image):
    network(load="import an_absent_framework.inner")
    ran = indexing(command, image)
    assert ran.stderr == (
        "sightsound: loading net.acme (plugin net): ModuleNotFoundError: No module named 'an_absent_framework'; "
        "install it: pip install an_absent_framework\n"
    )


def test_torchvision_that_does_not_load_beside_cpu_torch_names_the_function_that_mends_it():
    error = RuntimeError("operator torchvision::nms does not exist")
    assert how_to_install(error, "net") == (
        "; call sightsound.torch.import_torchvision() before timm or torchvision is imported"
    )


@pytest.mark.parametrize("modality", ["image", "sound"])
def test_the_network_of_a_library_that_is_not_installed_any_more_is_not_replaced_by_a_similar_one(
    tiny, tmp_path, modality
):
    made.register_variant(tiny, "onnxbird.acme", {"image": "colours.tiny", "sound": "loudness.tiny"}[modality])
    file = made.write_image(tmp_path / "a.png") if modality == "image" else made.write_sound(tmp_path / "a.wav")
    index(file, tmp_path / "zoo", models=["onnxbird.acme"], host=tiny)
    assert search(file, tmp_path / "zoo", host=tiny) == []
    bare = Host(installed=False)
    with pytest.raises(UnknownModel) as caught:
        search(file, tmp_path / "zoo", host=bare)
    assert str(caught.value) == (
        "zoo, onnxbird.acme: no installed plugin has the network 'onnxbird.acme'; "
        "install the plugin that it was indexed with"
    )


@pytest.mark.parametrize("known", ["broken.acme", "logspec.acme"])
def test_a_name_of_another_architecture_is_not_suggested(tiny, known):
    made.register_variant(tiny, known)
    with pytest.raises(UnknownModel, match=r"^no embedder 'onnxbird.acme' among 3; see `sightsound models`$"):
        tiny.card("onnxbird.acme")


def test_a_stage_that_is_missing_is_named_with_the_line_that_brings_it_back(install, monkeypatch, tmp_path):
    file = made.write_image(tmp_path / "a.png")
    monkeypatch.syspath_prepend(DISTS / "tiny")
    monkeypatch.syspath_prepend(install("tiny", "whiten"))
    import sightsound_tiny
    import sightsound_whiten

    def host(**options):
        return Host(block=["timm", "yamnet", "vggish", "librosa"], **options)

    library = tmp_path / "zoo"
    index(file, library, models=["colours.tiny"], host=host())

    def advice(found):
        with pytest.raises(SpaceMismatch) as caught:
            index(file, library, models=["colours.tiny"], host=found)
        with pytest.raises(SpaceMismatch) as searched:
            search(file, library, host=found)
        assert str(caught.value) == str(searched.value)
        return str(caught.value)

    blocked = Host(block=["whiten", "timm", "yamnet", "vggish", "librosa"])
    assert "; do not block the plugin whiten (--block, SIGHTSOUND_BLOCK), or index anew after" in advice(blocked)
    absent = Host(installed=False)
    absent.register(sightsound_tiny, "tiny")
    assert "; install the plugin whiten 3.1 mean=0.5,spread=0.25, or index anew" in advice(absent)
    monkeypatch.setattr(sightsound_whiten, "MEAN", 0.4)
    changed = host()
    assert "; give the plugin whiten its version and settings of then (3.1 mean=0.5,spread=0.25), or" in advice(changed)


def test_a_stage_of_another_version_names_the_line_of_pip():
    host = SimpleNamespace(plugins=[Plugin("whiten", "acme-cvhist", "1.1"), Plugin("off", status="broken", reason="x")])
    stored = SimpleNamespace(stages={"whiten 1.0 pca 64", "off 2 a", "run 1 bf16"})
    assert remedies(host, stored) == {
        "whiten 1.0 pca 64": 'install the plugin whiten 1.0 pca 64: pip install "acme-cvhist==1.0"',
        "off 2 a": "mend the plugin off (x)",
        "run 1 bf16": "install the plugin run 1 bf16",
    }


# -- rows ----------------------------------------------------------------------------------------------------------


def outcomes(host, name, *files):
    jobs = [Job(Item(str(file.parent), file.name)) for file in files]
    with embed_items(host.load(name), jobs) as items:
        return [each.outcome for each in items]


def spoilt(stage):
    def spoil(inner, *values):
        found = getattr(inner, stage)(*values)
        if stage == "embed":
            found.embeddings[found.embeddings.max(axis=1) > 0.5] = np.nan
            return found
        found = found.copy()
        found[found.max(axis=1) > 0.5] = np.inf
        return found

    return {stage: spoil}


@pytest.mark.parametrize("stage", ["embed", "postprocess"])
def test_rows_that_are_not_finite_name_network_plugin_stage_and_seconds(tiny, tmp_path, stage):
    name = made.register_variant(tiny, "poisoned.tiny", "loudness.tiny", **spoilt(stage))
    quiet = tmp_path / "quiet.wav"
    samples = np.concatenate([np.full(3200, 0.1), np.full(1600, 0.9)])
    soundfile.write(tmp_path / "loud.wav", samples, made.RATE, "FLOAT")
    soundfile.write(quiet, samples[:3200], made.RATE, "FLOAT")
    good, bad = outcomes(tiny, name, quiet, tmp_path / "loud.wav")
    assert good.status == "ok"
    assert bad.reason == (
        f"{stage} of poisoned.tiny (plugin poisoned): NaN or infinity at 1.50-2.50 s; "
        "run `sightsound check-model poisoned.tiny`"
    )
    assert isinstance(bad.error, PluginError)


def test_rows_that_a_stage_plugin_makes_infinite_name_it(tiny, tmp_path):
    class Whiten:
        def stage_id(self, card):
            return "broken"

        @hookimpl(wrapper=True)
        def postprocess(self, embedder, output):
            rows = yield
            return rows * np.float32("inf")

    tiny.register(Whiten(), "whiten")
    (bad,) = outcomes(tiny, "colours.tiny", made.write_image(tmp_path / "a.png"))
    assert bad.reason.startswith(
        "postprocess of colours.tiny (plugin tiny, with whiten in this stage): NaN or infinity; run"
    )


def test_a_single_input_that_does_not_fit_in_memory_names_network_plugin_device_and_remedy(tiny, tmp_path):
    def embed(inner, inputs):
        raise MemoryError("needs 3 GB")

    name = made.register_variant(tiny, "huge.tiny", embed=embed)
    (bad,) = outcomes(tiny, name, made.write_image(tmp_path / "a.png"))
    assert bad.reason == (
        "out of memory in huge.tiny (plugin huge) on cpu with a single input (needs 3 GB); "
        "close other programs, name a smaller model (--model) or another device (--device)"
    )
    name = made.register_variant(tiny, "greedy.tiny", preprocess=embed_nothing)
    (bad,) = outcomes(tiny, name, tmp_path / "a.png")
    assert bad.reason.startswith("out of memory in greedy.tiny (plugin greedy) on cpu while it was read; close")


def embed_nothing(inner, media, start, last):
    raise MemoryError


def test_a_network_that_does_not_fit_in_memory_ends_the_command_with_one_line(command, network, image):
    network(load="raise MemoryError('12 GB')")
    ran = indexing(command, image)
    assert ran.returncode == 2 and ran.stderr == (
        "sightsound: loading net.acme (plugin net): out of memory; close other programs, or name a smaller model "
        "(--model) (12 GB)\n"
    )


def test_rows_of_a_long_recording_go_through_the_network_in_batches(tiny):
    seen = []

    def embed(inner, inputs):
        seen.append(len(inputs))
        return inner.embed(inputs)

    model = tiny.load(made.register_variant(tiny, "counted.tiny", "loudness.tiny", batch_size=8, embed=embed))
    samples = np.random.default_rng(0).normal(0, 0.1, 20 * 1600).astype(np.float32)
    spans, rows, scores = model.rows(samples)
    assert sum(seen) == len(rows) == len(scores) == len(spans) == 39 and max(seen) == 8
    np.testing.assert_array_equal(rows, tiny.load("loudness.tiny").rows(samples)[1])


# -- what the user asks for ----------------------------------------------------------------------------------------


def test_a_device_that_a_plugin_does_not_use_is_said_once(tiny, caplog, tmp_path):
    tiny.load("colours.tiny", "cuda"), tiny.load("colours.tiny", "cuda")
    tiny.load("colours.tiny", "auto"), tiny.load("colours.tiny", "cpu")
    assert caplog.messages == ["colours.tiny (plugin tiny): runs on cpu, not on 'cuda' (--device)"]


def test_a_hop_for_a_network_without_that_option_names_the_option(command, tmp_path):
    file = made.write_sound(tmp_path / "a.wav")
    ran = command("tag", file, "-m", "loudness.tiny", "--hop", "0.1")
    assert ran.returncode == 2
    assert ran.stderr == "sightsound: hop: loudness.tiny has no option `hop`, its windows are fixed; leave hop out\n"


def test_a_recording_without_segments_names_the_options(command, tmp_path):
    samples = np.random.default_rng(0).choice([-0.95, 0.95], 640)
    soundfile.write(tmp_path / "short.wav", samples, made.RATE, "FLOAT")
    ran = command("tag", tmp_path / "short.wav", "-m", "loudness.tiny", "--threshold", "0.99")
    text = "no segments: no class is over --threshold for --min-duration (0.5 s unless given)"
    assert ran.returncode == 0 and text in ran.stdout.splitlines()
    assert text not in command("tag", tmp_path / "short.wav", "-m", "loudness.tiny").stdout


def test_a_table_in_a_folder_is_no_image_and_the_matrix_names_it(tiny, tmp_path):
    made.write_image(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\na.png,cat\n")
    with pytest.warns(UserWarning, match=r"labels.csv: not-media"):
        assert len(list(embed(tmp_path, "colours.tiny", host=tiny))) == 1
    with (
        pytest.warns(UserWarning, match="not-media"),
        pytest.raises(
            NotMedia, match=r"labels.csv: not an image by its first bytes; convert it to PNG, or leave it out"
        ),
    ):
        embed(tmp_path, "colours.tiny", host=tiny).matrix()


def test_stats_count_an_item_with_vectors_of_several_networks_once(tiny, tmp_path):
    made.register_variant(tiny, "other.tiny", "loudness.tiny")
    file = made.write_sound(tmp_path / "a.wav", seconds=1.2)
    index(file, tmp_path / "zoo", models=["loudness.tiny", "other.tiny"], host=tiny)
    assert stats(tmp_path / "zoo").flags == {"padded": 1}


def test_layers_of_a_network_without_layers_say_that_it_has_none(command, tmp_path):
    file = made.write_image(tmp_path / "a.png")
    ran = command("embed", file, "-m", "colours.tiny", "--layer", "x", "-o", tmp_path / "rows.npz")
    assert ran.returncode == 2
    assert ran.stderr == "sightsound: colours.tiny: has no layers to choose (no option `layer`); leave the layers out\n"
    listed = command("models", "layers", "colours.tiny")
    assert listed.stderr == "sightsound: colours.tiny: plugin 'tiny' lists no layers of it; name another model\n"


def test_an_option_of_sightsound_behind_the_command_is_said_to_go_before_it(command, tmp_path):
    for option, name in (("--weights", "stats"), ("--block", "index"), ("--runtime", "tag")):
        ran = command(name, tmp_path, option, "x")
        assert ran.returncode == 2
        assert f"Error: {option} goes before the command: sightsound {option} ... {name} ..." in ran.stderr
    assert "No such option '--nonsense'" in command("tag", tmp_path, "--nonsense").stderr


def test_an_option_that_is_given_twice_is_refused(tiny):
    with pytest.raises(UnknownModel, match=r"expected each option once; leave one of them out"):
        tiny.card("colours.tiny[overlap=1.5,overlap=2]")


def test_a_plugin_that_prints_leaves_json_as_it_is(command, network):
    network(at_import='print("HELLO FROM ACME")')
    ran = command("plugins", "--json", plugins=())
    assert [row["name"] for row in json.loads(ran.stdout) if row["name"] == "net"] == ["net"]
    assert "plugin net prints while it is imported: HELLO FROM ACME" in ran.stderr


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("None", "expected an embedder with the registered card, got none"),
        ("Net", "expected an embedder, got the class Net; return an instance"),
        ("type('Other', (), {'card': __import__('dataclasses').replace(CARD, dim=5)})()", "got another dim"),
        ("type('Other', (), {'card': __import__('dataclasses').replace(CARD, name='b.c')})()", "the card of 'b.c'"),
    ],
)
def test_what_load_returned_instead_of_an_embedder_is_said(command, network, image, returned, text):
    network(load=f"return {returned}")
    assert text in indexing(command, image).stderr


def test_a_probe_of_another_space_is_to_be_fitted_anew(tiny, coloured, tmp_path):
    probe = fit_probe(load_dataset(coloured, "colours.tiny"), curve=False)
    bare = Host(installed=False)
    with pytest.raises(UnknownModel, match="^probe: no installed plugin has the network 'colours.tiny'; install the"):
        list(predict(probe, made.write_image(tmp_path / "a.png"), host=bare))

    class Negative:
        def stage_id(self, card):
            return "negative"

        @hookimpl(wrapper=True)
        def postprocess(self, embedder, output):
            return -(yield)

    tiny.register(Negative(), "negative")
    with pytest.raises(SpaceMismatch, match=r"leave the plugin out \(--block negative\), or fit the probe anew$"):
        list(predict(probe, tmp_path / "a.png", host=tiny))
