"""Discovery: what is installed, what is broken or blocked and why, and what registers by hand."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fake_plugins import OneEmbedder, card, listed
from sightsound import Host, hookimpl
from sightsound.contract.errors import PluginError, UnknownModel
from sightsound.contract.hookspecs import API
from sightsound.host import discovery

IMAGE = np.full((20, 20, 3), 200, np.uint8)

REASONS = {
    "absent": "a_framework_that_is_not_installed",
    "attribute": "nothing",
    "card": "card 'card.broken': dim: expected a positive int, got 0",
    "exits": "exits.py has had enough",
    "half": "half way through",
    "instance": "hashable",
    "misspelt": "unknown hook 'register_embeders'; did you mean 'register_embedders'?",
    "raises": "KeyError",
    "stages": "plugin name 'stages' is taken by sightsound",
    "twice": "embedder 'twice.broken': registered twice by the same plugin",
    "wrong_argument": "hook embed: expected some of the arguments embedder, inputs, got 'batch' too",
    "wrong_card": "expected a Card",
}
"""The entry points of tests/dists/broken, and what the reason of each must say."""


@pytest.fixture(scope="module")
def sites(install: Callable[..., Path]) -> list[str]:
    """Folders with tiny, every broken plugin, and a second distribution whose entry point is called tiny."""
    return [str(install("tiny")), str(install("broken", "twin"))]


@pytest.fixture(scope="module")
def crowd(sites: list[str]) -> Iterator[Host]:
    """The host in the midst of them, with `tiny` preferred where names are claimed twice."""
    with pytest.MonkeyPatch.context() as patch:
        for site in sites:
            patch.syspath_prepend(site)
        patch.delenv("SIGHTSOUND_BLOCK", raising=False)
        yield Host(prefer=["sightsound-tiny"])


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


# -- entry points ------------------------------------------------------------------------------------------------


def test_an_installed_plugin_is_found_by_its_entry_point(crowd):
    found = listed(crowd, "tiny", "sightsound-tiny")
    assert (found.version, found.status, found.reason) == ("1.0", "ok", "")
    assert found.embedders == ("colours.tiny", "loudness.tiny")
    assert crowd.cards["loudness.tiny"].sample_rate == 1600
    assert crowd.card("colours.tiny") is crowd.cards["colours.tiny"]
    assert crowd.load("colours.tiny").rows(IMAGE)[1] == pytest.approx(np.full((1, 48), 200 / 255))


def test_a_host_without_installed_plugins_is_empty(among):
    host = Host(installed=False)
    assert (host.plugins, dict(host.cards)) == ((), {})
    assert not among.exists()


def test_two_hosts_are_independent():
    first, second = Host(installed=False), Host(installed=False)
    first.register(OneEmbedder("one.one"), "one")
    assert "one.one" in first.cards and "one.one" not in second.cards
    second.register(OneEmbedder("one.one"), "one")


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_broken_plugin_is_listed_with_its_reason(crowd, name):
    found = listed(crowd, name)
    assert (found.status, found.distribution, found.version) == ("broken", "sightsound-broken", "2.0")
    assert REASONS[name] in found.reason
    assert found.embedders == ()


@pytest.mark.parametrize("name", sorted(REASONS))
def test_the_reason_of_a_broken_plugin_is_one_line(crowd, name):
    assert "\n" not in listed(crowd, name).reason


def test_every_entry_point_of_the_broken_distribution_is_listed(crowd):
    names = {r.name for r in crowd.plugins if r.distribution == "sightsound-broken"}
    assert names == {*REASONS, "witness", "usurper"}


def test_broken_plugins_do_not_affect_the_others(crowd):
    assert {"colours.tiny", "loudness.tiny", "witness.good"} <= set(crowd.cards)
    assert listed(crowd, "witness").status == "ok"


def test_a_plugin_that_fails_leaves_nothing_registered(crowd):
    assert [name for name in crowd.cards if name.endswith(".broken")] == ["usurper.broken"]
    assert crowd.cards["colours.tiny"].dim == 48, "the card of the first, not that of the usurper"
    model = crowd.load("colours.tiny")
    assert model.rows(IMAGE)[1].shape == (1, 48), "the stage of half.py is not called"
    assert json.loads(model.space.facts)["stages"] == []
    assert model.plugin == "tiny"


# -- names that several plugins claim ----------------------------------------------------------------------------


def test_a_preferred_plugin_has_the_names_that_others_claim_too(crowd):
    assert crowd.cards["colours.tiny"].dim == 48
    usurper = listed(crowd, "usurper")
    assert (usurper.status, usurper.embedders) == ("contested", ("usurper.broken",))
    assert "embedder 'colours.tiny' is claimed by the plugins 'tiny' (sightsound-tiny) and 'usurper'" in usurper.reason
    assert "usurper.broken" in crowd.cards, "its other name is its own"


def test_a_plugin_name_that_two_distributions_claim_belongs_to_the_preferred_one(crowd):
    found = listed(crowd, "tiny", "sightsound-twin")
    assert found.status == "broken" and "twin.tiny" not in crowd.cards
    assert found.reason == (
        "plugin name 'tiny' is claimed by the plugins 'tiny' (sightsound-twin) and 'tiny' (sightsound-tiny); "
        "choose one: --prefer DISTRIBUTION:PLUGIN (or SIGHTSOUND_PREFER), or --block the others"
    )


def test_a_plugin_name_that_two_distributions_claim_belongs_to_neither_unless_the_user_chooses(among):
    host = Host()
    both = [plugin for plugin in host.plugins if plugin.name == "tiny"]
    assert [plugin.status for plugin in both] == ["broken", "broken"]
    with pytest.raises(UnknownModel, match="plugin name 'tiny' is claimed by the plugins"):
        host.card("loudness.tiny")
    assert "loudness.tiny" in Host(block=["sightsound-twin:tiny"]).cards
    assert "twin.tiny" in Host(prefer="sightsound-twin").cards


class EntryPoint:
    """What `importlib.metadata` finds of a distribution with one plugin."""

    def __init__(self, name, distribution, plugin):
        self.name, self.plugin = name, plugin
        self.dist = SimpleNamespace(name=distribution, version="1.0")

    def load(self):
        return self.plugin


def installed(monkeypatch, *points):
    monkeypatch.setattr(discovery, "entry_points", lambda group: points)


def test_a_name_that_two_plugins_claim_is_refused_with_both_until_the_user_chooses(monkeypatch, caplog):
    first = EntryPoint("yamnet", "sightsound-audioset", OneEmbedder("yamnet.audioset_i8", dim=7))
    thief = EntryPoint("aa", "acme-aa", OneEmbedder("yamnet.audioset_i8"))
    installed(monkeypatch, first)
    assert Host().card("yamnet.audioset_i8").dim == 7
    installed(monkeypatch, thief, first)
    host = Host()
    text = "embedder 'yamnet.audioset_i8' is claimed by the plugins 'aa' (acme-aa) and 'yamnet' (sightsound-audioset)"
    claiming = [plugin for plugin in host.plugins if plugin.name in ("aa", "yamnet")]
    assert [(plugin.status, text in plugin.reason) for plugin in claiming] == [("contested", True)] * 2
    assert text in caplog.text, "it is said at every start"
    assert "yamnet.audioset_i8" not in host.cards
    for name in ("yamnet.audioset_i8", "yamnet.audioset_i8[hop=1]"):
        with pytest.raises(PluginError, match=r"choose one: --prefer PLUGIN \(or SIGHTSOUND_PREFER\), or --block"):
            host.load(name)
    assert Host(prefer=["yamnet"]).card("yamnet.audioset_i8").dim == 7
    assert Host(prefer="acme-aa, yamnet").card("yamnet.audioset_i8").dim == 1, "the first that is named"
    assert Host(block=["aa"]).card("yamnet.audioset_i8").dim == 7
    monkeypatch.setenv("SIGHTSOUND_PREFER", "sightsound-audioset:yamnet")
    assert Host().card("yamnet.audioset_i8").dim == 7


def test_an_alias_that_two_plugins_claim_is_refused_and_gives_way_to_a_name(monkeypatch):
    def aliased(name, dim):
        plugin = OneEmbedder(name)
        plugin.register_embedders = hookimpl(
            lambda register: register(dataclasses.replace(card(name, dim), aliases=("net",)), print)
        )
        return plugin

    one, two = (
        EntryPoint("one", "acme-one", aliased("net.one", 1)),
        EntryPoint("two", "acme-two", aliased("net.two", 2)),
    )
    installed(monkeypatch, one)
    assert Host().card("net").dim == 1
    installed(monkeypatch, one, two)
    assert Host().card("net.one").dim == 1, "their full names are their own"
    with pytest.raises(PluginError, match="name 'net' is claimed by the plugins 'one'"):
        Host().card("net")
    assert Host(prefer=["two"]).card("net").dim == 2
    installed(monkeypatch, one, two, EntryPoint("three", "acme-three", OneEmbedder("net", dim=3)))
    assert Host().card("net").dim == 3


def test_several_models_that_want_to_be_the_default_are_named_and_the_setting_decides(monkeypatch):
    def wanting(name):
        plugin = OneEmbedder(name)
        wanted = dataclasses.replace(card(name), default_for="image")
        plugin.register_embedders = hookimpl(lambda register: register(wanted, print))
        return plugin

    monkeypatch.delenv("SIGHTSOUND_IMAGE_MODEL", raising=False)
    host = Host(installed=False)
    with pytest.raises(UnknownModel, match="no plugin in use has a default model for images; install one"):
        host.default("image")
    host.register(wanting("one.net"), "one")
    assert host.default("image") == "one.net"
    host.register(wanting("two.net"), "two")
    text = r"several models want to be the default for images: one.net, two.net; .*--model.*SIGHTSOUND_IMAGE_MODEL"
    with pytest.raises(UnknownModel, match=text):
        host.default("image")
    monkeypatch.setenv("SIGHTSOUND_IMAGE_MODEL", "two.net")
    assert host.default("image") == "two.net"
    monkeypatch.setenv("SIGHTSOUND_SOUND_MODEL", "two.net")
    with pytest.raises(UnknownModel, match="SIGHTSOUND_SOUND_MODEL: expected a model for sounds, got 'two.net'"):
        host.default("sound")


# -- what else a plugin may do wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "step"), [(1, "upgrade the plugin"), (99, "upgrade sightsound"), ("2", "upgrade")])
def test_a_plugin_for_another_version_of_the_contract_is_not_used(monkeypatch, version, step):
    good, bad = OneEmbedder("good.net"), OneEmbedder("bad.net")
    good.sightsound_api, bad.sightsound_api = API, version
    installed(monkeypatch, EntryPoint("good", "acme-good", good), EntryPoint("bad", "acme-bad", bad))
    host = Host()
    assert (set(host.cards), listed(host, "bad").status) == ({"good.net"}, "broken")
    assert f"written for version {version!r} of the contract, this is {API}; {step}" in listed(host, "bad").reason


def test_a_plugin_that_prints_while_it_is_imported_does_not_disturb_the_output(monkeypatch, capsys, caplog):
    class Printing(EntryPoint):
        def load(self):
            print("HELLO FROM ACME")
            return self.plugin

    installed(monkeypatch, Printing("loud", "acme-loud", OneEmbedder("loud.net")))
    assert "loud.net" in Host().cards
    assert capsys.readouterr().out == "" and "plugin loud prints while it is imported: HELLO FROM ACME" in caplog.text


def test_the_error_for_an_unknown_model_says_why_a_plugin_is_not_in_use(monkeypatch):
    class Failing(EntryPoint):
        def load(self):
            raise ModuleNotFoundError("No module named 'onnxruntime'")

    installed(monkeypatch, Failing("broken", "acme-broken", None))
    with pytest.raises(UnknownModel, match=r"plugins not in use: broken \(ModuleNotFoundError: No module named 'onnxr"):
        Host().card("broken.acme")


@pytest.mark.parametrize("hook", ["register_embedders", "resolve_embedder", "register_options", "register_runtimes"])
def test_a_hook_that_is_not_marked_is_named(tiny, hook):
    plugin = OneEmbedder("one.net")
    setattr(plugin, hook, lambda *args: None)
    with pytest.raises(PluginError, match=f"plugin 'unmarked': {hook} is not marked as a hook; put @hookimpl above it"):
        tiny.register(plugin, "unmarked")
    assert "one.net" not in tiny.cards


def test_what_is_registered_instead_of_a_card_is_described_in_short(tiny):
    class Swapped:
        @hookimpl
        def register_embedders(self, register):
            register(print, dataclasses.replace(card("a.b"), constants={"numbers": list(range(1000))}))

    with pytest.raises(PluginError, match="expected a Card and a function, got .* and the card of 'a.b'$"):
        tiny.register(Swapped(), "swapped")


def test_the_traceback_of_a_broken_plugin_is_logged(monkeypatch, caplog):
    def broken(register):
        raise KeyError("deep inside")

    plugin = OneEmbedder("a.b")
    plugin.register_embedders = hookimpl(broken)
    installed(monkeypatch, EntryPoint("deep", "acme-deep", plugin))
    with caplog.at_level("DEBUG", "sightsound"):
        assert listed(Host(), "deep").status == "broken"
    assert "Traceback" in caplog.text and "in broken" in caplog.text


# -- blocking ----------------------------------------------------------------------------------------------------


def test_a_plugin_that_is_not_blocked_is_imported(among):
    Host()
    assert among.read_text() == "imported"


def test_a_plugin_that_is_blocked_by_an_argument_is_not_imported(among):
    host = Host(block=["witness", "twin"])
    assert not among.exists() and "sightsound_broken.witness" not in sys.modules
    assert (listed(host, "witness").status, listed(host, "witness").reason) == ("blocked", "blocked by the user")
    assert "witness.good" not in host.cards and "colours.tiny" in host.cards


def test_a_plugin_that_is_blocked_by_the_environment_is_not_imported(among, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_BLOCK", "raises, witness ,,")
    host = Host(block=["half"])
    assert not among.exists()
    assert {r.name for r in host.plugins if r.status == "blocked"} == {"raises", "witness", "half"}


@pytest.mark.parametrize(
    "options",
    [("--block", "witness"), ("--block", "half,witness"), ("--block", "half", "--block", "witness")],
    ids=" ".join,
)
def test_a_plugin_that_is_blocked_on_the_command_line_is_not_imported(among, command, options):
    done = command(*options, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert not among.exists()
    states = {r["name"]: r["status"] for r in json.loads(done.stdout)}
    assert states["witness"] == "blocked" and states["tiny"] != "blocked"


def test_blocked_names_may_have_spaces_between_them(among, command):
    done = command("--block", "half, witness", "plugins", "--json")
    states = {r["name"]: r["status"] for r in json.loads(done.stdout)}
    assert (states["half"], states["witness"]) == ("blocked", "blocked")
    assert not among.exists()


def test_blocking_a_name_blocks_every_distribution_that_has_it(among):
    host = Host(block=["tiny"])
    assert [r.status for r in host.plugins if r.name == "tiny"] == ["blocked", "blocked"]
    assert listed(host, "usurper").status == "ok", "nobody else claims colours.tiny now"


def test_the_error_for_an_unknown_model_names_the_plugins_that_are_not_in_use(among):
    with pytest.raises(UnknownModel, match=r"plugins not in use: .*tiny"):
        Host(block=["tiny", "usurper"]).card("loudness.tiny")


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_plugins_lists_every_plugin_with_its_reason(among, command):
    done = command("--prefer", "sightsound-tiny", "plugins")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name, reason in REASONS.items():
        assert "broken" in lines[name] and reason in lines[name]
    assert "colours.tiny, loudness.tiny" in done.stdout
    assert "contested" in lines["usurper"] and "embedder 'colours.tiny' is claimed" in lines["usurper"]
    assert len(done.stdout.splitlines()) == len(json.loads(command("plugins", "--json").stdout)) + 1


def test_the_command_models_lists_every_card_although_plugins_are_broken(among, command):
    done = command("models", "--json", SIGHTSOUND_PREFER="sightsound-tiny")
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
    assert [name for name in rows if name.endswith(".broken")] == ["usurper.broken"]
    table = command("--prefer", "sightsound-tiny", "models").stdout
    assert "loudness.tiny" in table and "1600" in table and "none needed" in table


# -- registering by hand -----------------------------------------------------------------------------------------


def test_a_plugin_registered_by_hand_is_listed(tiny):
    tiny.register(OneEmbedder("one.hand"), "hand")
    assert listed(tiny, "hand").embedders == ("one.hand",)


def test_registering_by_hand_raises_on_failure_and_changes_nothing(tiny):
    before = tiny.plugins, dict(tiny.cards)

    class Late:
        @hookimpl
        def register_embedders(self, register):
            register(card("late.good"), print)
            register(card("colours.tiny"), print)

    with pytest.raises(PluginError, match="plugin 'late': embedder 'colours.tiny' is taken by plugin 'tiny'"):
        tiny.register(Late(), "late")
    with pytest.raises(PluginError, match="plugin 'tiny': plugin name 'tiny' is taken"):
        tiny.register(OneEmbedder("one.good"), "tiny")
    assert (tiny.plugins, dict(tiny.cards)) == before
    tiny.register(OneEmbedder("late.good"), "late")


def test_a_plugin_registered_twice_is_refused_with_its_first_name(tiny):
    plugin = OneEmbedder("one.hand")
    tiny.register(plugin, "first")
    with pytest.raises(PluginError, match="'first'"):
        tiny.register(plugin, "second")
