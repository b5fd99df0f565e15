"""Names of models: their form, the nearest name for an unknown one, and plugins that resolve names."""

from __future__ import annotations

import pytest

from fake_plugins import OneEmbedder, Resolver, card
from sightsound import Host
from sightsound.contract.errors import PluginError, UnknownModel

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
    with pytest.raises(UnknownModel, match=r"^model 'colours.tiny' has no options \[pca\]; see"):
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


def test_a_resolver_that_raises_is_named_if_no_other_answers(tiny):
    tiny.register(Resolver(raising), "clumsy")
    with pytest.raises(PluginError, match=r"resolving 'net.tag' \(plugin clumsy\): ValueError: cannot make net.tag"):
        tiny.card("net.tag")
    assert tiny.card("colours.tiny").dim == 48, "registered names are not its business"


@pytest.mark.parametrize("order", [("clumsy", "good"), ("good", "clumsy")])
def test_a_resolver_that_raises_does_not_prevent_another_answer(tiny, order):
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
def test_a_resolver_with_an_invalid_answer_is_named(tiny, answer):
    answer_ = (lambda name, options: (card(name, dim=-1), print)) if answer is None else lambda name, options: answer
    tiny.register(Resolver(answer_), "clumsy")
    with pytest.raises(PluginError, match=r"resolving 'net.tag' \(plugin clumsy\)"):
        tiny.card("net.tag")


def test_the_resolver_that_was_registered_last_is_asked_first(tiny):
    """As everywhere in pluggy; whatever the order, it is the same in every process."""
    for dim in range(1, 13):
        tiny.register(Resolver(lambda name, options, dim=dim: (card(name, dim), None)), f"r{dim}")
    assert tiny.card("net.tag").dim == 12


@pytest.mark.parametrize("asked", ["nonexistent.model", "colour.tiny", "colours.tiny[x]"])
def test_a_resolver_that_answers_everything_with_its_own_card_is_not_believed(tiny, asked):
    tiny.register(Resolver(lambda name, options: (card("greedy.model"), None)), "greedy")
    assert tiny.card("greedy.other").name == "greedy.model", "a tag may be another"
    architecture = asked.partition(".")[0]
    refused = rf"\(plugin greedy\): expected a card of '{architecture}' or None, got 'greedy.model'; .*--block greedy"
    with pytest.raises(PluginError, match=refused):
        tiny.card(asked)
    tiny.register(Resolver(lambda name, options: (card(f"{name}[x]" if options else name, 7), None)), "right")
    assert tiny.card(asked).dim == 7


def refusing(name, options):
    raise UnknownModel(f"{name}: no such options")


@pytest.mark.parametrize("order", [("strict", "adding"), ("adding", "strict")])
def test_a_resolver_that_refuses_options_does_not_prevent_another_from_adding_them(tiny, order):
    answers = {"strict": refusing, "adding": lambda name, options: (card(f"{name}[x]", 7), None)}
    for plugin in order:
        tiny.register(Resolver(answers[plugin]), plugin)
    assert tiny.card("net.tag[x]").dim == 7


@pytest.mark.parametrize("order", [("clumsy", "strict"), ("strict", "clumsy")])
def test_a_refusal_with_a_reason_comes_before_the_failure_of_another_plugin(tiny, order):
    answers = {"strict": refusing, "clumsy": raising}
    for plugin in order:
        tiny.register(Resolver(answers[plugin]), plugin)
    with pytest.raises(UnknownModel, match=r"net.tag: no such options"):
        tiny.card("net.tag[x]")


@pytest.mark.parametrize("options", ["overlap=1.5,overlap=2", "pca,pca", "pca,pca=1"])
def test_an_option_that_is_given_twice_is_refused(tiny, options):
    tiny.register(Resolver(lambda name, options: (card(name), None)), "any")
    with pytest.raises(UnknownModel, match="expected each option once; leave one of them out"):
        tiny.card(f"net.tag[{options}]")
