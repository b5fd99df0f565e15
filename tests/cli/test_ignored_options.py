"""An option that would be ignored is refused, with what it goes with."""

from __future__ import annotations

import json

import click
import pytest

import sightsound.cli
from sightsound import SightsoundError
from sightsound.contract.model_settings import ModelSettings

MODEL = ("-m", "colours.tiny")


@pytest.fixture
def made(command, shades, tmp_path, monkeypatch):
    """A folder with a labelled library `lib` and a probe `p.probe`; the working folder."""
    for colour in ("red", "green", "blue"):
        for number in range(3, 12):
            (shades / colour / f"{number}.png").unlink()
    done = command("index", shades, "-l", tmp_path / "lib", *MODEL, "--label-from", "folder")
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    assert command("probe", "fit", "-l", "lib", *MODEL, "--strength", "1", "-o", "p.probe").returncode == 0
    return tmp_path


FIT = ("probe", "fit", "-l", "lib", *MODEL, "-o", "new.probe")
TAGS = ("search", "--tag", "red", "-l", "lib")
VERIFY = ("import", "--verify", "-l", "lib")
QUERY = "goes with a query: FILE, --id, --vector or --text"
IGNORED = [
    ((*TAGS, "--per", "window"), f"--per {QUERY}"),
    ((*TAGS, "--per", "item"), f"--per {QUERY}"),
    ((*TAGS, "--copies"), f"--copies {QUERY}"),
    ((*TAGS, "--exact"), f"--exact {QUERY}"),
    ((*TAGS, "--each"), f"--each {QUERY}"),
    (("search", "--id", "1", "-l", "lib", "--each"), "--each: expected --vector, whose rows are the queries"),
    (("search", "--id", "1", "-l", "lib", "--min-overlap", "1"), "--min-overlap goes with --label"),
    (("duplicates", "-l", "lib", "--calibrate", "--keep", "best"), "--keep goes with a search for near-duplicates"),
    (("list", "-l", "lib", "--min-overlap", "0.3"), "--min-overlap goes with --label of `search` and `export`"),
    (("list", "-l", "lib", "--label", "red", "--min-overlap", "0.3"), "--min-overlap goes with --label of `search`"),
    (("label", "-l", "lib", "--to", "x.csv", "--min-overlap", "0.3"), "--min-overlap goes with --label of `search`"),
    (("tag", "-l", "lib", "--min-overlap", "0.3"), "--min-overlap goes with --label of `search`"),
    (
        ("export", "lib", "--to", "x", "--for", "huggingface", "--label", "red", "--min-overlap", "0.3"),
        "--min-overlap goes with --label of `search`",
    ),
    (
        ("export", "lib", "--to", "x.parquet", "--for", "embedding-atlas", "--min-overlap", "0.3"),
        "--min-overlap goes with --label of `search`",
    ),
    ((*VERIFY, "--labels", "a"), "--labels goes with FILE"),
    ((*VERIFY, "--root", "."), "--root goes with FILE"),
    ((*VERIFY, "--made-by", "me"), "--made-by goes with FILE"),
    ((*VERIFY, "--version", "1"), "--version goes with FILE"),
    ((*VERIFY, "--modality", "image"), "--modality goes with FILE"),
    (("label", "-l", "lib", "--to", "x.csv", "--new-column"), "--new-column goes with --from, --set and --add"),
    (("label", "-l", "lib", "--clear", "label", "--new-column"), "--new-column goes with --from, --set and --add"),
    (("tag", "shades", *MODEL, "--raven", "-k", "2"), "--top goes with the classes of a file"),
    (("compare", *MODEL, "-d", "shades", "--accuracy", "top1"), "--accuracy goes with --out-plot"),
    (("compare", *MODEL, "-d", "shades", "--time", "total"), "--time goes with --out-plot"),
    (("weights", "compiled", "--clear", "--json"), "--clear prints no table"),
    (("probe", "show", "p.probe", "--reliability", "--csv"), "--reliability is printed"),
    ((*FIT, "--strength", "1", "--folds", "3"), "--folds goes with cross-validation, which --strength does without"),
    ((*FIT, "--strength", "1", "--scoring", "f1_macro"), "--scoring goes with cross-validation"),
    ((*FIT, "--strength", "1", "--curve"), "--curve goes with cross-validation"),
    ((*FIT, "--strength", "1", "--fold-column", "label"), "--fold-column goes with cross-validation"),
    ((*FIT, "--strength", "1", "--group-column", "label"), "--group-column goes with cross-validation"),
    ((*FIT, "--windows", "--level", "item"), "--level goes with items; --windows is about windows"),
    ((*FIT, "--multi-label", "--scoring", "accuracy"), "--scoring goes with one class an item"),
    (("stack", "-l", "lib", "--folds", "2", "--fold-column", "label"), "--folds or --fold-column, one of the two"),
]


@pytest.mark.parametrize(("words", "expected"), IGNORED, ids=[" ".join(words) for words, _ in IGNORED])
def test_an_option_that_would_be_ignored_is_refused(command, made, words, expected):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    done = command(*words)
    assert (done.returncode, done.stdout) == (2, "") and expected in done.stderr, done.stderr
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_the_same_options_are_taken_where_they_count(command, made):
    for words in (
        ("search", "--id", "1", "-l", "lib", "--per", "item", "--copies", "--exact"),
        ("search", "--id", "1", "-l", "lib", "--label", "red", "--min-overlap", "0.3"),
        ("export", "lib", "--to", "x.csv", "--min-overlap", "0.3"),
        ("label", "shades/red", "-l", "lib", "--set", "labels=x", "--new-column"),
        (*FIT, "--strength", "1", "--no-curve"),
        ("weights", "compiled", "--json"),
        ("forget", "--missing", "--yes", "-l", "lib"),
        ("forget", "shades/red", "-l", "lib", "--yes"),  # as scripts do with every command that may ask
    ):
        done = command(*words)
        assert done.returncode == 0, (words, done.stderr)


def commands_with_a_device(group=sightsound.cli.cli, name=()):
    context = click.Context(sightsound.cli.cli)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if isinstance(command, click.Group):
            yield from commands_with_a_device(command, (*name, each))
        if any("--device" in option.opts for option in command.params):
            yield (*name, each)


USES = {
    "compare": (*MODEL, "-d", "shades"),
    "duplicates": ("-l", "lib"),
    "embed": ("shades", *MODEL, "-o", "x.npz"),
    "finetune": ("-l", "lib", *MODEL, "-o", "mine"),
    "import": ("--verify", "-l", "lib"),
    "index": ("shades", "-l", "lib", *MODEL),
    "probe predict": ("p.probe", "-l", "lib"),
    "search": ("--id", "1", "-l", "lib"),
    "stack": ("-l", "lib"),
    "tag": ("shades", *MODEL),
}


def test_an_unknown_device_is_refused_by_every_command_also_where_nothing_is_embedded(command, made):
    assert sorted(map(" ".join, commands_with_a_device())) == sorted(USES)
    for name, words in USES.items():
        for device in ("nonsense", "cuda:", "cpu,cuda", ""):
            done = command(*name.split(), *words, "--device", device)
            expected = f"--device: device {device!r}: expected auto, cpu, cuda, cuda:NUMBER or mps, got another name"
            assert done.returncode == 2 and expected in done.stderr, (name, done.stderr)
    assert command("index", *USES["index"], "--device", "cpu").returncode == 0


def test_a_host_refuses_an_unknown_device(tiny):
    with pytest.raises(SightsoundError, match="device 'nonsense': expected auto, cpu, cuda"):
        tiny.load("colours.tiny", "nonsense")
    assert tiny.load("colours.tiny", "cpu").device == "cpu"


def test_predictions_in_json_have_as_many_classes_as_are_asked_for(command, made):
    words = ("probe", "predict", "p.probe", "-l", "lib", "--json")
    for more, count in (((), 3), (("-k", "1"), 1), (("--top", "2"), 2)):
        found = json.loads(command(*words, *more).stdout)
        assert {len(each["classes"]) for each in found} == {count} and found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modality": "image", "rate": 16000}, "mine: rate: expected none, since the network takes images, got 16000"),
        ({"rate": 16000, "mean": 0.5}, "mine: mean: expected none, since the network takes sounds, got"),
    ],
)
def test_settings_of_networks_of_the_other_modality_are_refused(settings, message):
    given = ModelSettings.from_json(json.dumps({"name": "mine", **settings}))
    with pytest.raises(SightsoundError, match=message):
        given.card(dim=3, input_shape=(3, 8, 8), constants={})
