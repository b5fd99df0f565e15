"""The host: what is found, what is left out and why, what a name means, and what is never imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sightsound import Card, Host, hookimpl
from sightsound.contract.errors import PluginError, SightsoundError, UnknownModel

HEAVY = ("torch", "tensorflow", "faiss", "sklearn", "librosa", "pandas", "timm", "torchvision")
PICTURE = np.full((20, 20, 3), 200, np.uint8)

REASONS = {
    "absent": "a_framework_that_is_not_installed",
    "attribute": "nothing",
    "card": "card 'card.broken': dim: expected a positive int, got 0",
    "exits": "exits.py has had enough",
    "half": "half way through",
    "instance": "hashable",
    "misspelt": "register_embeders",
    "raises": "KeyError",
    "stages": "plugin name 'stages' is taken by sightsound",
    "twice": "embedder 'twice.broken' is taken by plugin 'twice'",
    "usurper": "embedder 'colours.tiny' is taken by plugin 'tiny'",
    "wrong_argument": "batch",
    "wrong_card": "expected a Card",
}
"""The entry points of tests/dists/broken, and what the reason of each must say."""


def card(name: str, dim: int = 1) -> Card:
    return Card(name=name, modality="image", dim=dim, input_shape=(1,))


class One:
    """A plugin with one embedder, loaded by `load`."""

    def __init__(self, name, load=lambda device, weights: None, dim=1):
        self.name, self.load, self.dim = name, load, dim

    @hookimpl
    def register_embedders(self, register):
        register(card(self.name, self.dim), self.load)


class Resolver:
    """Answers to every name with `answer(name, options)`, and keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    @hookimpl
    def resolve_embedder(self, name, options):
        self.asked.append((name, options))
        return self.answer(name, options)


@pytest.fixture(scope="module")
def sites(install: Callable[..., Path]) -> list[str]:
    """Folders with tiny, every broken plugin, and a second distribution whose entry point is called tiny."""
    return [str(install("tiny")), str(install("broken", "twin"))]


@pytest.fixture(scope="module")
def crowd(sites: list[str]) -> Iterator[Host]:
    """The host in the midst of them."""
    with pytest.MonkeyPatch.context() as patch:
        for site in sites:
            patch.syspath_prepend(site)
        patch.delenv("SIGHTSOUND_BLOCK", raising=False)
        yield Host()


@pytest.fixture
def among(sites: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Installs them all for this test, in this process and its children; where `witness` would leave its trace."""
    for site in sites:
        monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", sites[1], prepend=os.pathsep)
    monkeypatch.delenv("SIGHTSOUND_BLOCK", raising=False)
    monkeypatch.setenv("SIGHTSOUND_WITNESS", str(tmp_path / "witness"))
    monkeypatch.delitem(sys.modules, "sightsound_broken.witness", raising=False)
    return tmp_path / "witness"


def row(host: Host, name: str, distribution: str = ""):
    (found,) = [r for r in host.plugins if r.name == name and (not distribution or r.distribution == distribution)]
    return found


# -- discovery ---------------------------------------------------------------------------------------------------


def test_an_installed_plugin_is_found_by_its_entry_point(crowd):
    found = row(crowd, "tiny", "sightsound-tiny")
    assert (found.version, found.status, found.reason) == ("1.0", "ok", "")
    assert found.embedders == ("colours.tiny", "loudness.tiny")
    assert crowd.cards["loudness.tiny"].sample_rate == 1600
    assert crowd.card("colours.tiny") is crowd.cards["colours.tiny"]
    assert crowd.load("colours.tiny").rows(PICTURE)[1] == pytest.approx(np.full((1, 48), 200 / 255))


def test_without_the_installed_ones_a_host_is_empty(among):
    host = Host(installed=False)
    assert (host.plugins, dict(host.cards)) == ((), {})
    assert not among.exists()


def test_two_hosts_know_nothing_of_each_other():
    first, second = Host(installed=False), Host(installed=False)
    first.register(One("one.one"), "one")
    assert "one.one" in first.cards and "one.one" not in second.cards
    second.register(One("one.one"), "one")


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_broken_plugin_is_a_row_with_its_reason(crowd, name):
    found = row(crowd, name)
    assert (found.status, found.distribution, found.version) == ("broken", "sightsound-broken", "2.0")
    assert REASONS[name] in found.reason
    assert found.embedders == ()


@pytest.mark.parametrize("name", sorted(REASONS))
def test_the_reason_of_a_broken_plugin_is_one_line(crowd, name):
    assert "\n" not in row(crowd, name).reason


def test_every_entry_point_of_the_broken_distribution_is_a_row(crowd):
    names = {r.name for r in crowd.plugins if r.distribution == "sightsound-broken"}
    assert names == {*REASONS, "witness"}


def test_beside_broken_plugins_everything_else_works(crowd):
    assert {"colours.tiny", "loudness.tiny", "witness.good"} <= set(crowd.cards)
    assert row(crowd, "witness").status == "ok"


def test_nothing_of_a_half_registered_plugin_stays(crowd):
    assert not [name for name in crowd.cards if name.endswith(".broken")]
    assert crowd.cards["colours.tiny"].dim == 48, "the card of the first, not that of the usurper"
    model = crowd.load("colours.tiny")
    assert model.rows(PICTURE)[1].shape == (1, 48), "the stage of half.py is not called"
    assert json.loads(model.space.facts)["stages"] == []
    assert model.plugin == "tiny"


def test_a_taken_entry_point_name_names_who_has_it(crowd):
    found = row(crowd, "tiny", "sightsound-twin")
    assert found.status == "broken"
    assert found.reason == "plugin name 'tiny' is taken by sightsound-tiny; rename one"
    assert "twin.tiny" not in crowd.cards


# -- blocking ----------------------------------------------------------------------------------------------------


def test_what_is_not_blocked_is_imported_and_leaves_its_trace(among):
    Host()
    assert among.read_text() == "imported"


def test_a_plugin_that_is_blocked_by_the_host_is_not_even_imported(among):
    host = Host(block=["witness", "twin"])
    assert not among.exists() and "sightsound_broken.witness" not in sys.modules
    assert (row(host, "witness").status, row(host, "witness").reason) == ("blocked", "blocked by the user")
    assert "witness.good" not in host.cards and "colours.tiny" in host.cards


def test_a_plugin_that_is_blocked_by_the_environment_is_not_even_imported(among, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_BLOCK", "raises, witness ,,")
    host = Host(block=["half"])
    assert not among.exists()
    assert {r.name for r in host.plugins if r.status == "blocked"} == {"raises", "witness", "half"}


@pytest.mark.parametrize(
    "options",
    [("--block", "witness"), ("--block", "half,witness"), ("--block", "half", "--block", "witness")],
    ids=" ".join,
)
def test_a_plugin_that_is_blocked_on_the_command_line_is_not_even_imported(among, command, options):
    done = command(*options, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert not among.exists()
    states = {r["name"]: r["status"] for r in json.loads(done.stdout)}
    assert states["witness"] == "blocked" and states["tiny"] != "blocked"


def test_blocked_names_may_stand_apart_on_the_command_line_as_in_the_environment(among, command):
    done = command("--block", "half, witness", "plugins", "--json")
    states = {r["name"]: r["status"] for r in json.loads(done.stdout)}
    assert (states["half"], states["witness"]) == ("blocked", "blocked")
    assert not among.exists()


def test_blocking_a_name_that_two_distributions_have_blocks_both(among):
    host = Host(block=["tiny"])
    assert [r.status for r in host.plugins if r.name == "tiny"] == ["blocked", "blocked"]
    assert row(host, "usurper").status == "ok", "the name colours.tiny is free now"


def test_an_unknown_model_tells_of_the_plugins_that_are_not_in_use(among):
    with pytest.raises(UnknownModel, match=r"plugins not in use: .*tiny"):
        Host(block=["tiny", "usurper"]).card("loudness.tiny")


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_plugins_lists_every_one_with_its_reason(among, command):
    done = command("plugins")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name, reason in REASONS.items():
        assert "broken" in lines[name] and reason in lines[name]
    assert "colours.tiny, loudness.tiny" in done.stdout
    assert len(done.stdout.splitlines()) == len(json.loads(command("plugins", "--json").stdout)) + 1


def test_the_command_models_works_beside_broken_plugins_and_shows_every_card(among, command):
    done = command("models", "--json")
    assert done.returncode == 0, done.stderr
    rows = {r["name"]: r for r in json.loads(done.stdout)}
    loudness = rows["loudness.tiny"]
    shown = {key: loudness[key] for key in ("modality", "dim", "input_shape", "sample_rate", "classes", "state")}
    assert shown == {
        "modality": "sound",
        "dim": 17,
        "input_shape": [1600],
        "sample_rate": 1600,
        "classes": 2,
        "state": "none needed",
    }
    assert {"params", "license"} <= set(loudness)
    assert not [name for name in rows if name.endswith(".broken")]
    table = command("models").stdout
    assert "loudness.tiny" in table and "1600" in table and "none needed" in table


@pytest.mark.parametrize(
    "code",
    [
        "import sightsound",
        "import sightsound; sightsound.Card, sightsound.Host, sightsound.Model, sightsound.Library",
        "import sightsound; sightsound.embed, sightsound.index, sightsound.search",
        "from sightsound.cli import main; main(['--help'])",
        "from sightsound.cli import main; main(['index', '--help'])",
        "from sightsound.cli import main; main(['plugins'])",
        "from sightsound.cli import main; main(['models'])",
    ],
)
def test_no_framework_is_imported(code, install):
    """Beside tiny, every real plugin that is installed here."""
    watch = f"import atexit, sys\natexit.register(lambda: print('HEAVY', *(set({HEAVY}) & set(sys.modules))))\n{code}"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(install("tiny")), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", watch], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY", done.stdout.splitlines()[-1]


# -- names -------------------------------------------------------------------------------------------------------

NAMES = (
    "colours.tiny",
    "tf_efficientnet_lite0.in1k",
    "mobilenet_v2.tv_in1k",
    "resnet18.tv_in1k",
    "yamnet.audioset_f32",
    "yamnet.audioset_i8",
    "vggish.audioset_f32",
    "mfcc.librosa",
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("yamnett", "yamnet.audioset"),
        ("yamnet", "yamnet.audioset"),
        ("Yamnet", "yamnet.audioset"),
        ("vgish", "vggish.audioset_f32"),
        ("vggish", "vggish.audioset_f32"),
        ("vggish.audioset_f23", "vggish.audioset_f32"),
        ("resnet", "resnet18.tv_in1k"),
        ("mobilnet", "mobilenet_v2.tv_in1k"),
        ("efficientnet_lite0", "tf_efficientnet_lite0.in1k"),
        ("color.tiny", "colours.tiny"),
        ("mfc", "mfcc.librosa"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(typed, meant):
    host = Host(installed=False)
    for name in NAMES:
        host.register(One(name), name.replace(".", "-"))
    with pytest.raises(UnknownModel) as caught:
        host.load(typed)
    text = str(caught.value)
    assert text.startswith(f"no embedder {typed!r} among 8; did you mean '{meant}"), text
    assert text.count("\n") == 0


def test_a_name_like_no_other_points_to_the_list(tiny):
    with pytest.raises(UnknownModel, match=r"^no embedder 'qqqq.zzzz' among 2; see `sightsound models`$"):
        tiny.card("qqqq.zzzz")


def test_a_registered_model_without_options_says_so(tiny):
    with pytest.raises(UnknownModel, match=r"^model 'colours.tiny' has no options \[pca\]; see"):
        tiny.card("colours.tiny[pca]")


@pytest.mark.parametrize("name", ["", "[pca]", "a.b[", "a.b]", "a.b[c", "a.b[c]d", "a.b[[c]]"])
def test_what_is_no_name_is_told_how_names_look(tiny, name):
    with pytest.raises(UnknownModel, match=r"expected arch\.tag or arch\.tag\[option,\.\.\.\]"):
        tiny.card(name)


def test_the_command_line_leaves_with_2_and_one_line_for_an_unknown_name(command, tmp_path):
    done = command("index", tmp_path, "--model", "colour.tiny", "--library", tmp_path / "zoo")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "did you mean 'colours.tiny'?" in done.stderr


def test_the_default_model_that_is_not_there_names_the_package(tiny):
    with pytest.raises(UnknownModel, match=r"default image model .* is not there; install sightsound-timm"):
        tiny.default("image")
    with pytest.raises(UnknownModel, match=r"default sound model .* install sightsound-audioset"):
        tiny.default("sound")


# -- resolving ---------------------------------------------------------------------------------------------------


def test_a_resolver_gets_the_name_and_its_options(tiny):
    resolver = Resolver(lambda name, options: (card(name), lambda device, weights: None))
    tiny.register(resolver, "resolver")
    for name in ("net.tag", "net.other[pca, layer=fc2,bits=8,url=a=b]"):
        tiny.card(name)
    assert resolver.asked == [
        ("net.tag", {}),
        ("net.other", {"pca": True, "layer": "fc2", "bits": "8", "url": "a=b"}),
    ]


def test_a_resolver_is_asked_once_for_a_name_and_never_for_a_registered_one(tiny):
    resolver = Resolver(lambda name, options: (card("net.tag[pca]"), lambda device, weights: None))
    tiny.register(resolver, "resolver")
    assert tiny.card("net.tag[pca]") == tiny.card("net.tag[pca]") == tiny.card("net.tag[ pca ]")
    tiny.card("colours.tiny")
    assert [name for name, _ in resolver.asked].count("net.tag") == 2, "once for each way of writing it"


def test_a_resolved_model_loads_and_knows_its_plugin(tiny):
    class Point:
        card = card("point.made[x]")

    loads = []
    tiny.register(Resolver(lambda name, o: (Point.card, lambda device, w: loads.append(device) or Point())), "points")
    model = tiny.load("point.made[x]", "cpu")
    assert (model.plugin, model.card, loads) == ("points", Point.card, ["cpu"])
    assert model.space.name == "point.made[x]"
    assert "point.made[x]" not in tiny.cards


def test_a_resolver_that_knows_nothing_leaves_the_name_unknown(tiny):
    tiny.register(Resolver(lambda name, options: None), "shrug")
    with pytest.raises(UnknownModel, match="did you mean 'colours.tiny'"):
        tiny.card("colour.tiny")


def raising(name, options):
    raise ValueError(f"cannot make {name}\nnor anything like it")


def test_a_resolver_that_raises_is_named_where_nobody_else_answers(tiny):
    tiny.register(Resolver(raising), "clumsy")
    with pytest.raises(PluginError, match=r"resolving 'net.tag' \(plugin clumsy\): ValueError: cannot make net.tag"):
        tiny.card("net.tag")
    assert tiny.card("colours.tiny").dim == 48, "registered names are not its business"


@pytest.mark.parametrize("order", [("clumsy", "good"), ("good", "clumsy")])
def test_a_resolver_that_raises_does_not_keep_another_from_answering(tiny, order):
    answers = {"clumsy": raising, "good": lambda name, options: (card(name, 7), None)}
    for plugin in order:
        tiny.register(Resolver(answers[plugin]), plugin)
    assert tiny.card("net.tag").dim == 7


@pytest.mark.parametrize(
    "answer",
    [
        "net.tag",
        ("net.tag", print),
        (card("net.tag"),),
        (card("net.tag"), print, 3),
        pytest.param(None, id="a card that makes no sense"),
    ],
)
def test_a_resolver_that_answers_nonsense_is_named(tiny, answer):
    answer_ = (lambda name, options: (card(name, dim=-1), print)) if answer is None else lambda name, options: answer
    tiny.register(Resolver(answer_), "clumsy")
    with pytest.raises(PluginError, match=r"resolving 'net.tag' \(plugin clumsy\)"):
        tiny.card("net.tag")


def test_the_resolver_that_was_registered_last_is_asked_first(tiny):
    """As everywhere in pluggy; whatever the order, it is the same in every process."""
    for dim in range(1, 13):
        tiny.register(Resolver(lambda name, options, dim=dim: (card(name, dim), None)), f"r{dim}")
    assert tiny.card("net.tag").dim == 12


# -- registering by hand -----------------------------------------------------------------------------------------


def test_a_plugin_registered_by_hand_is_a_row(tiny):
    tiny.register(One("one.hand"), "hand")
    assert row(tiny, "hand").embedders == ("one.hand",)


def test_a_plugin_that_cannot_be_registered_by_hand_raises_and_leaves_nothing(tiny):
    before = tiny.plugins, dict(tiny.cards)

    class Late:
        @hookimpl
        def register_embedders(self, register):
            register(card("late.good"), print)
            register(card("colours.tiny"), print)

    with pytest.raises(PluginError, match="plugin 'late': embedder 'colours.tiny' is taken by plugin 'tiny'"):
        tiny.register(Late(), "late")
    with pytest.raises(PluginError, match="plugin 'tiny': plugin name 'tiny' is taken"):
        tiny.register(One("one.good"), "tiny")
    assert (tiny.plugins, dict(tiny.cards)) == before
    tiny.register(One("late.good"), "late")


def test_one_plugin_under_two_names_is_told_its_first_name(tiny):
    plugin = One("one.hand")
    tiny.register(plugin, "first")
    with pytest.raises(PluginError, match="'first'"):
        tiny.register(plugin, "second")


# -- loading -----------------------------------------------------------------------------------------------------


def failing(device, weights):
    raise ValueError("no such layer\nand a second line")


def test_a_loader_that_raises_is_reported_with_its_plugin(tiny):
    tiny.register(One("one.bad", failing), "bad")
    with pytest.raises(PluginError, match=r"loading one.bad \(plugin bad\): ValueError: no such layer") as caught:
        tiny.load("one.bad")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("error", [MemoryError("no room"), SightsoundError("device 'cuda': none here")])
def test_a_loader_without_room_or_with_an_error_of_ours_is_passed_on(tiny, error):
    def load(device, weights):
        raise error

    tiny.register(One("one.bad", load), "bad")
    with pytest.raises(type(error)) as caught:
        tiny.load("one.bad")
    assert caught.value is error


@pytest.mark.parametrize("found", [None, "text", type("Other", (), {"card": card("other.card")})()])
def test_a_loader_that_gives_another_embedder_is_reported_with_its_plugin(tiny, found):
    tiny.register(One("one.bad", lambda device, weights: found), "bad")
    with pytest.raises(PluginError, match=r"loading one.bad \(plugin bad\): expected an embedder with the registered"):
        tiny.load("one.bad")


def test_the_loader_gets_the_device_and_the_files_by_name(tmp_path):
    import hashlib

    from sightsound import WeightFile

    file = tmp_path / "net.bin"
    file.write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    weighed = Card(
        name="one.weighed",
        modality="image",
        dim=1,
        input_shape=(1,),
        weights=(WeightFile(name="net.bin", sha256=digest),),
    )
    got = []

    class Weighed:
        card = weighed

        @hookimpl
        def register_embedders(self, register):
            register(weighed, lambda device, weights: got.append((device, weights["net.bin"].read_bytes())) or self)

    host = Host(installed=False, weights=[tmp_path])
    host.register(Weighed(), "weighed")
    model = host.load("one.weighed", "cuda:1")
    assert got == [("cuda:1", b"numbers")]
    assert json.loads(model.space.facts)["weights"] == {"net.bin": digest}
    assert model.space == host.space("one.weighed")
