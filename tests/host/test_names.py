"""Names of models: their form, the nearest name for an unknown one, and plugins that resolve names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fake_plugins import OneEmbedder, Resolver, card, listed
from made import Variant
from sightsound import Host, Option, hookimpl
from sightsound.contract.errors import PluginError, UnknownModel
from sightsound.plugin import with_option

# -- unknown names -----------------------------------------------------------------------------------------------

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
        host.register(OneEmbedder(name), name.replace(".", "-"))
    with pytest.raises(UnknownModel) as caught:
        host.load(typed)
    text = str(caught.value)
    assert text.startswith(f"no embedder {typed!r} among 8; did you mean '{meant}"), text
    assert text.count("\n") == 0


def test_a_name_without_a_similar_one_points_to_the_list(tiny):
    with pytest.raises(UnknownModel, match=r"^no embedder 'qqqq.zzzz' among 2; see `sightsound models`$"):
        tiny.card("qqqq.zzzz")


def test_a_model_without_options_refuses_options(tiny):
    with pytest.raises(UnknownModel, match=r"^model 'colours.tiny' has no options, got 'pca'; leave the brackets out$"):
        tiny.card("colours.tiny[pca]")


@pytest.mark.parametrize("name", ["", "[pca]", "a.b[", "a.b]", "a.b[c", "a.b[c]d", "a.b[[c]]"])
def test_an_invalid_name_is_refused_with_the_form_of_a_name(tiny, name):
    with pytest.raises(UnknownModel, match=r"expected arch\.tag or arch\.tag\[option,\.\.\.\]"):
        tiny.card(name)


def test_the_command_line_exits_with_2_and_one_line_for_an_unknown_name(command, tmp_path):
    done = command("index", tmp_path, "--model", "colour.tiny", "--library", tmp_path / "zoo")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "did you mean 'colours.tiny'?" in done.stderr


# -- resolving ---------------------------------------------------------------------------------------------------

OPTIONS = (Option("pca"), Option("layer", str), Option("bits", int))


def named(name, options=(), dim=1):
    """A card with the options in its name as they are written in canonical form."""
    written = [key if value is True else f"{key}={value}" for key, value in dict(options).items()]
    full = f"{name}[{','.join(written)}]" if written else name
    return dataclasses.replace(card(full, dim), options=OPTIONS)


def answering(name, options):
    return named(name, options), lambda device, weights: None


def test_a_resolver_gets_the_name_and_its_options_with_their_types_in_the_order_of_their_declaration(tiny):
    resolver = Resolver(answering)
    tiny.register(resolver, "resolver")
    assert tiny.card("net.tag").name == "net.tag"
    assert tiny.card("net.other[bits=08, layer=fc2,pca]").name == "net.other[pca,layer=fc2,bits=8]"
    assert resolver.asked == [
        ("net.tag", {}),
        ("net.other", {}),
        ("net.other", {"pca": True, "layer": "fc2", "bits": 8}),
    ]


def test_a_resolver_is_asked_once_for_a_name_and_never_for_a_registered_one(tiny):
    resolver = Resolver(answering)
    tiny.register(resolver, "resolver")
    assert tiny.card("net.tag[pca]") == tiny.card("net.tag[pca]") == tiny.card("net.tag[ pca ]")
    tiny.card("colours.tiny")
    assert [name for name, options in resolver.asked if options].count("net.tag") == 2, "once for each way of writing"


def test_a_resolved_model_loads_and_knows_its_plugin(tiny):
    class Point:
        card = named("point.made", {"pca": True})

    loads = []

    def answer(name, options):
        return named(name, options), lambda device, weights: loads.append(device) or Point()

    tiny.register(Resolver(answer), "points")
    model = tiny.load("point.made[pca]", "cpu")
    assert (model.plugin, model.card, loads) == ("points", Point.card, ["cpu"])
    assert model.space.name == "point.made[pca]"
    assert "point.made[pca]" not in tiny.cards


def test_a_resolver_that_knows_nothing_leaves_the_name_unknown(tiny):
    tiny.register(Resolver(lambda name, options: None), "shrug")
    with pytest.raises(UnknownModel, match="did you mean 'colours.tiny'"):
        tiny.card("colour.tiny")


def raising(name, options):
    raise ValueError(f"cannot make {name}\nnor anything like it")


def test_a_resolver_that_raises_is_named_beside_the_nearest_name(tiny):
    tiny.register(Resolver(raising), "clumsy")
    text = r"no embedder 'colour.tiny' among 2; did you mean 'colours.tiny'\? \(plugin clumsy failed .*: cannot make"
    with pytest.raises(UnknownModel, match=text) as caught:
        tiny.card("colour.tiny")
    assert "--block clumsy" in str(caught.value) and isinstance(caught.value.__cause__, ValueError)
    assert tiny.card("colours.tiny").dim == 48, "registered names are not its business"


@pytest.mark.parametrize("order", [("clumsy", "good"), ("good", "clumsy")])
def test_a_resolver_that_raises_does_not_prevent_another_answer(tiny, order):
    answers = {"clumsy": raising, "good": lambda name, options: (named(name, options, 7), print)}
    for plugin in order:
        tiny.register(Resolver(answers[plugin]), plugin)
    assert tiny.card("net.tag").dim == 7
    assert tiny.card("net.tag[pca]").dim == 7, "options are the business of the plugin that knows the name"


@pytest.mark.parametrize(
    "answer",
    [
        "net.tag",
        ("net.tag", print),
        (card("net.tag"),),
        (card("net.tag"), print, 3),
        (card("net.tag"), None),
        pytest.param(None, id="a card that makes no sense"),
    ],
)
def test_a_resolver_with_an_invalid_answer_is_named(tiny, answer):
    answer_ = (lambda name, options: (card(name, dim=-1), print)) if answer is None else lambda name, options: answer
    tiny.register(Resolver(answer_), "clumsy")
    with pytest.raises(UnknownModel, match=r"plugin clumsy failed to resolve it: .*--block clumsy"):
        tiny.card("net.tag")


def test_the_resolver_that_was_registered_last_is_asked_first(tiny):
    """As everywhere in pluggy; whatever the order, it is the same in every process."""
    for dim in range(1, 13):
        tiny.register(Resolver(lambda name, options, dim=dim: (card(name, dim), print)), f"r{dim}")
    assert tiny.card("net.tag").dim == 12


@pytest.mark.parametrize("asked", ["nonexistent.model", "colour.tiny", "greedy.other"])
def test_a_resolver_that_answers_everything_with_its_own_card_is_not_believed(tiny, asked):
    tiny.register(Resolver(lambda name, options: (card("greedy.model"), print)), "greedy")
    assert tiny.card("greedy").name == "greedy.model", "a name without a tag may be completed"
    expected = rf"plugin greedy .*expected a card of '{asked}' or None, got 'greedy.model'"
    with pytest.raises(UnknownModel, match=expected):
        tiny.card(asked)
    tiny.register(Resolver(lambda name, options: (card(name, 7), print)), "right")
    assert tiny.card(asked).dim == 7


def test_a_resolver_may_give_another_tag_if_the_card_has_the_name_as_an_alias(tiny):
    found = dataclasses.replace(card("net.long_tag"), aliases=("net.tag",))
    tiny.register(Resolver(lambda name, options: (found, print)), "tags")
    assert tiny.card("net.tag").name == "net.long_tag"


@pytest.mark.parametrize("dropped", ["net.tag", "net.tag[bits=4]", "net.tag[pca,bits=4]"])
def test_a_resolver_that_drops_or_changes_an_option_is_not_believed(tiny, dropped):
    tiny.register(Resolver(lambda name, options: (named(dropped if options else name), print)), "sloppy")
    text = r"resolving 'net.tag\[bits=8\]' \(plugin sloppy\): .*\[bits=8\].*--block sloppy"
    with pytest.raises(PluginError, match=text):
        tiny.card("net.tag[bits=8]")


@pytest.mark.parametrize("order", [("clumsy", "strict"), ("strict", "clumsy")])
def test_a_refusal_with_a_reason_comes_before_the_failure_of_another_plugin(tiny, order):
    def refusing(name, options):
        raise UnknownModel(f"{name}: no such tag")

    answers = {"strict": refusing, "clumsy": raising}
    for plugin in order:
        tiny.register(Resolver(answers[plugin]), plugin)
    with pytest.raises(UnknownModel, match=r"net.tag: no such tag"):
        tiny.card("net.tag")


@pytest.mark.parametrize("options", ["overlap=1.5,overlap=2", "pca,pca", "pca,pca=1"])
def test_an_option_that_is_given_twice_is_refused(tiny, options):
    tiny.register(Resolver(answering), "any")
    with pytest.raises(UnknownModel, match="expected each option once; leave one of them out"):
        tiny.card(f"net.tag[{options}]")


# -- aliases -----------------------------------------------------------------------------------------------------


def test_an_alias_is_a_shorter_name_of_the_same_model_with_or_without_options(tiny):
    def answer(name, options):
        return (named(name, options), print) if name == "long.name" else None

    class Plugin(Resolver):
        @hookimpl
        def register_embedders(self, register):
            register(dataclasses.replace(named("long.name"), aliases=("short",)), print)

    tiny.register(Plugin(answer), "plugin")
    assert tiny.card("short").name == "long.name" and tiny.aliases == {"short": "long.name"}
    assert tiny.card("short[bits=4]").name == "long.name[bits=4]"


# -- options that other plugins add ------------------------------------------------------------------------------


class Doubling:
    """Adds `[times=N]` to `colours.tiny`: its rows N times."""

    option = Option("times", float, low=0.5, high=10, help="factor")

    def __init__(self, fits=lambda card: card.name.startswith("colours."), name=None):
        self.fits, self.name = fits, name

    def apply(self, card, load, value):
        name = self.name or with_option(card.name, self.option, value)
        found = dataclasses.replace(card, name=name, constants={**card.constants, "times": value})

        def postprocess(inner, output):
            return inner.postprocess(output) * np.float32(value)

        return found, lambda device, weights: Variant(load(device, weights), found, {"postprocess": postprocess}, 4, 1)

    @hookimpl
    def register_options(self, register):
        register(self.option, self.fits, self.apply)


IMAGE = np.full((20, 20, 3), 100, np.uint8)


def test_another_plugin_can_add_an_option_to_a_network(tiny):
    tiny.register(Doubling(), "doubling")
    assert listed(tiny, "doubling").options == ("times",)
    plain, doubled = tiny.load("colours.tiny"), tiny.load("colours.tiny[times=2.0]")
    assert doubled.card.name == "colours.tiny[times=2]" and doubled.plugin == "tiny"
    assert doubled.rows(IMAGE)[1] == pytest.approx(2 * plain.rows(IMAGE)[1])
    assert doubled.space != plain.space
    assert [(option.name, plugin) for option, plugin in tiny.options("colours.tiny")] == [("times", "doubling")]
    with pytest.raises(UnknownModel, match=r"expected times=a number from 0.5 to 10, got times=11"):
        tiny.card("colours.tiny[times=11]")
    with pytest.raises(UnknownModel, match="'loudness.tiny' has no options"):
        tiny.card("loudness.tiny[times=2]")


def test_an_option_that_two_plugins_add_is_refused_with_both(tiny):
    tiny.register(Doubling(), "one")
    tiny.register(Doubling(), "two")
    with pytest.raises(PluginError, match="option 'times' of colours.tiny is offered by the plugins 'one' and 'two'"):
        tiny.card("colours.tiny[times=2]")
    assert tiny.card("colours.tiny").dim == 48


def test_an_option_of_the_host_cannot_be_declared(tiny):
    class Precise(Doubling):
        option = Option("precision", float)

    tiny.register(Precise(), "precise")
    with pytest.raises(PluginError, match="option 'precision' of plugin 'precise': the host answers for it"):
        tiny.card("colours.tiny[times=2]")


def test_a_plugin_that_fails_to_add_its_option_is_named(tiny, caplog):
    def failing(card):
        raise KeyError("size")

    tiny.register(Doubling(name="other.name"), "wrong")
    with pytest.raises(PluginError, match=r"\(plugin wrong\): expected a card with the name 'colours.tiny\[times=2\]'"):
        tiny.card("colours.tiny[times=2]")
    host = Host(installed=False)
    host.register(OneEmbedder("one.one"), "one")
    host.register(Doubling(failing), "failing")
    with pytest.raises(UnknownModel, match="has no options"):
        host.card("one.one[times=2]")
    assert "option times of plugin failing left out: KeyError: 'size'" in caplog.text


@pytest.mark.parametrize("option", ["precision=bf16", "decode=scaled"])
def test_reserved_options_are_refused_where_nothing_offers_them(tiny, option):
    with pytest.raises(UnknownModel, match=rf"colours.tiny: {option}: .*leave the option out"):
        tiny.card(f"colours.tiny[{option}]")
    assert tiny.card("colours.tiny[precision=float32]").name == "colours.tiny"
