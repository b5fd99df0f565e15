"""Models that stay loaded: `Host(keep=...)`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fake_plugins import card
from sightsound import Host, hookimpl
from sightsound.contract.errors import PluginError
from sightsound.host.kept import Kept

THREADS = 8


class Loads:
    """A plugin with `NAME.net` for each name; `loads` has what was loaded, in order."""

    def __init__(self, *names: str) -> None:
        self.names, self.loads, self.fails = names, [], 0

    @hookimpl
    def register_embedders(self, register):
        for name in self.names:
            register(card(f"{name}.net"), lambda device, weights, name=name: self.load(name, device))

    def load(self, name, device):
        self.loads.append((name, device))
        if self.fails:
            self.fails -= 1
            raise ValueError("not now")
        return type("Embedder", (), {"card": card(f"{name}.net")})()


def with_plugin(keep: int, *names: str) -> tuple[Host, Loads]:
    host, plugin = Host(installed=False, keep=keep), Loads(*names)
    host.register(plugin, "loads")
    return host, plugin


def at_once(call) -> list:
    """Return what `call` returns in several threads that begin at the same moment."""
    barrier = threading.Barrier(THREADS)

    def one(_):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def test_a_host_keeps_the_same_model_for_the_same_name_and_device():
    host, plugin = with_plugin(2, "a")
    first = host.load("a.net")
    assert host.load("a.net") is first and host.load(" a.net".strip()) is first
    assert host.load("a.net", "cpu") is not first
    assert plugin.loads == [("a", "auto"), ("a", "cpu")]


def test_a_host_keeps_nothing_unless_it_is_told_to():
    host, plugin = with_plugin(0, "a")
    assert host.load("a.net") is not host.load("a.net")
    assert len(plugin.loads) == 2


def test_a_model_that_many_threads_ask_for_is_loaded_once():
    host, plugin = with_plugin(2, "a")
    found = at_once(lambda: host.load("a.net"))
    assert len({id(model) for model in found}) == 1 and len(plugin.loads) == 1


def test_models_of_other_names_are_loaded_meanwhile():
    host, plugin = with_plugin(2, "a", "b")
    begun, loaded = threading.Event(), threading.Event()

    def slow(name, device):
        begun.set()
        assert loaded.wait(10)
        return Loads.load(plugin, name, device)

    plugin.load = slow
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(host.load, "a.net")
        assert begun.wait(10)
        plugin.load = lambda name, device: Loads.load(plugin, name, device)
        assert host.load("b.net").card.name == "b.net" and not first.done()
        loaded.set()
        assert first.result(10).card.name == "a.net"


def test_the_model_that_was_used_least_recently_is_dropped():
    host, plugin = with_plugin(2, "a", "b", "c")
    a, b = host.load("a.net"), host.load("b.net")
    assert host.load("a.net") is a
    host.load("c.net")
    assert host.load("a.net") is a, "it was used after b"
    assert host.load("b.net") is not b
    assert [name for name, _ in plugin.loads] == ["a", "b", "c", "b"]


@pytest.mark.parametrize("error", [PluginError, KeyboardInterrupt])
def test_a_load_that_fails_is_tried_again(error):
    host, plugin = with_plugin(2, "a")
    plugin.fails = 1
    with pytest.raises(PluginError, match="not now"):
        host.load("a.net")
    first = host.load("a.net")
    assert host.load("a.net") is first and len(plugin.loads) == 2
    kept, calls = Kept(1), []

    def interrupted():
        calls.append(1)
        raise error

    with pytest.raises(error):
        kept.get("key", interrupted)
    assert kept.get("key", lambda: "thing") == "thing"


def test_a_load_that_fails_in_one_thread_is_tried_again_in_the_next():
    host, plugin = with_plugin(2, "a")
    plugin.fails = 3

    def load():
        try:
            return host.load("a.net")
        except PluginError:
            return None

    found = at_once(load)
    assert found.count(None) == 3 and len({id(model) for model in found if model}) == 1
    assert len(plugin.loads) == 4


def test_a_plugin_that_registers_later_changes_what_is_loaded():
    host, _plugin = with_plugin(2, "a")
    first = host.load("a.net")

    class Stage:
        same_numbers = True

        @hookimpl(wrapper=True)
        def embed(self, embedder, inputs):
            return (yield)

    host.register(Stage(), "stage")
    assert host.load("a.net") is not first
    assert host.load("a.net").others["embed"] == ["stage"]


def test_a_model_whose_loading_began_before_a_change_is_not_kept():
    kept = Kept(2)

    def make():
        kept.clear()
        return "old"

    assert kept.get("key", make) == "old"
    assert kept.get("key", lambda: "new") == "new"
    assert kept.get("key", lambda: "another") == "new"


def test_models_without_the_stages_of_a_plugin_are_others():
    host, _plugin = with_plugin(2, "a")
    assert host.load("a.net", without=["stage"]) is not host.load("a.net")
