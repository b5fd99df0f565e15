"""Rows from layers of torch networks that do unusual things."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sightsound import Card, ClassList, Layer, SightsoundError
from sightsound.contract.errors import UnknownModel

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sightsound.torch.layers import Plan, Tapped, choose, survey, usable  # noqa: E402

CARD = Card(
    name="odd.torch[fast]",
    modality="image",
    dim=4,
    input_shape=(3, 8, 8),
    classes=ClassList("some", ("a", "b", "c", "d")),
    scores="softmax",
    top1=50.0,
    top1_source="its paper",
    constants={"mean": 0.5},
)


class Last(nn.Module):
    """Moves the channels to the last axis."""

    output_fmt = "NHWC"

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Windows(nn.Module):
    """Splits each map into four windows along the batch."""

    def forward(self, x):
        return x.unflatten(2, (2, -1)).unflatten(4, (2, -1)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


class Parts(nn.Module):
    """Returns (n, parts, 16, channels); 16 and the channels do not depend on the size of the image."""

    def forward(self, x):
        return x.flatten(2).unflatten(2, (-1, 16)).permute(0, 2, 3, 1)


class Odd(nn.Module):
    """Has a ReLU that is called twice, in place; a module that is never called; modules without rows; a classifier."""

    def __init__(self, any_size=True):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 5, 3, padding=1)
        self.last = Last()
        self.mean = nn.Linear(5, 7)
        self.unused, self.pair, self.windows = nn.Identity(), Pair(), Windows()
        self.head = nn.Linear(7, 4)
        self.side = None if any_size else 8

    def forward(self, x):
        assert self.side in (None, x.shape[2])
        x = self.relu(self.first(x))
        self.pair(x), self.windows(x)
        x = self.relu(self.second(x))
        return self.head(self.mean(self.last(x)).mean((1, 2)))


def built(**settings):
    torch.manual_seed(0)
    return Odd(**settings).eval()


def inputs(count=2):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def tapped(net, **options):
    return Tapped(net, choose("odd.torch", options, survey(built, (3, 8, 8))))


# -- which there are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("any_size", [True, False])
def test_a_survey_finds_shapes_channels_and_calls(any_size):
    found = survey(lambda: built(any_size=any_size), (3, 8, 8))
    assert usable(found) == [
        Layer("first", "Conv2d", (6, 8, 8), 0),
        Layer("relu", "ReLU", (5, 8, 8), 0, calls=2),
        Layer("second", "Conv2d", (5, 8, 8), 0),
        Layer("last", "Last", (8, 8, 5), 2),
        Layer("mean", "Linear", (8, 8, 7), 2),
        Layer("head", "Linear", (4,), 0),
    ]
    assert [layer.dim for layer in usable(found)] == [6, 5, 5, 5, 7, 4]


def test_a_network_that_cannot_run_without_numbers_runs_on_the_cpu():
    class Reads(nn.Linear):
        def forward(self, x):
            return super().forward(x) * float(x.abs().max() + 1)

    assert usable(survey(lambda: nn.Sequential(Reads(5, 2)), (5,))) == [Layer("0", "Reads", (2,), 0)]


def test_an_axis_that_grows_with_the_image_does_not_count_channels():
    (layer,) = usable(survey(lambda: nn.Sequential(Parts()), (3, 8, 8)))
    assert (layer.shape, layer.axis) == ((4, 16, 3), 2)


def test_a_network_that_is_built_once_can_be_surveyed_twice():
    net = built()
    first, again = survey(lambda: net, (3, 8, 8)), survey(lambda: net, (3, 8, 8))
    assert first == again == survey(built, (3, 8, 8))


def test_a_network_that_does_not_run_says_why():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        survey(lambda: nn.Sequential(nn.Linear(4, 2)), (5,))


# -- what they give ----------------------------------------------------------------------------------------------


def test_the_last_call_counts_and_nothing_that_follows_in_place_changes_a_layer():
    net = built()
    with torch.inference_mode():
        first = net.first(inputs()).clone()
        second = net.second(first.clamp(min=0)).clone()
        rows = tapped(net, layer="first+relu+second+last")(inputs())
        maps = (first, second.clamp(min=0), second, second.clamp(min=0))
    torch.testing.assert_close(rows, torch.cat([each.mean((2, 3)) for each in maps], dim=1))
    assert (first < 0).any() and (second < 0).any()


def test_rows_without_positions_are_copies():
    net = nn.Sequential(nn.Linear(5, 3), nn.ReLU(inplace=True))
    for pool in ("avg", "max+std", "flat"):
        plan = choose("two", {"layer": "0", "pool": pool}, survey(lambda: net, (5,)))
        with torch.inference_mode():
            batch = torch.randn(4, 5)
            torch.testing.assert_close(Tapped(net, plan)(batch), net[0](batch))
        assert plan.dim == 3


def test_what_follows_the_last_layer_is_not_computed():
    net = built()
    net.head.register_forward_pre_hook(lambda module, args: pytest.fail("computed the head"))
    assert tapped(net, layer="mean+relu")(inputs()).shape == (2, 12)


def test_a_layer_that_is_skipped_this_time_is_named():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.skip = nn.Linear(5, 2), nn.Linear(5, 2), False

        def forward(self, x):
            return self.a(x) if self.skip else self.b(x)

    net = Sometimes()
    network = Tapped(net, choose("some", {"layer": "b"}, survey(Sometimes, (5,))))
    net.skip = True
    with pytest.raises(SightsoundError, match="layer 'b': expected one call at least, got none"):
        network(torch.zeros(1, 5))


def test_threads_have_their_own_rows():
    network = tapped(built(), layer="relu+mean", pool="avg+max")
    batches = [inputs(3) * i for i in range(1, 40)]

    def run(batch):
        with torch.inference_mode():
            return network(batch)

    expected = [run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, known in zip(pool.map(run, batches), expected):
            torch.testing.assert_close(found, known)


# -- cards -------------------------------------------------------------------------------------------------------


def test_a_card_keeps_other_options_and_loses_the_classes():
    plan = choose("odd.torch", {"layer": "last + head", "pool": "std+avg"}, survey(built, (3, 8, 8)))
    card = plan.card(CARD)
    assert card.name == "odd.torch[fast,layer=last+head,pool=std+avg]"
    assert (card.dim, card.labels, card.scores, card.top1, card.top1_source) == (14, (), None, None, "")
    assert json.loads(card.to_json())["constants"] == {
        "mean": 0.5,
        "layers": [{"name": "last", "dim": 10, "axis": 2}, {"name": "head", "dim": 4, "axis": 0}],
        "pool": "std+avg",
    }
    assert Card.from_json(card.to_json()) == card


def test_flat_keeps_every_number_in_the_order_of_the_axes():
    net = built()
    network = tapped(net, layer="last", pool="flat")
    with torch.inference_mode():
        whole = net.last(net.relu(net.second(net.relu(net.first(inputs())))))
        np.testing.assert_array_equal(network(inputs()).numpy(), whole.flatten(1).numpy())
    assert network.plan.dim == 320


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"layer": "unused"},
            "layer 'unused' of odd.torch: expected a module that gives rows, but it is never called;",
        ),
        ({"layer": "pair"}, "but it gives no tensor of real numbers but tuple; see"),
        ({"layer": "windows"}, r"but it gives \(8, 6, 4, 4\) for 2 inputs, which is not one row for each"),
        ({"layer": "secnd"}, "did you mean 'second'. see `sightsound models layers odd.torch`"),
        ({"layer": "head", "pool": "sum"}, "expected flat, or some of avg, max, std joined by"),
        ({"layer": "head", "hop": "1"}, r"odd.torch\[layer=head,hop=1\]: expected layer=NAME"),
        ({}, r"odd.torch\[\]: expected layer=NAME"),
    ],
)
def test_a_layer_without_rows_is_refused(options, error):
    with pytest.raises(UnknownModel, match=error):
        choose("odd.torch", options, survey(built, (3, 8, 8)))


def test_without_a_known_channel_axis_only_flat_is_possible():
    found = {"cube": Layer("cube", "Cube", (2, 3, 4, 5), None)}
    with pytest.raises(
        UnknownModel, match=r"layer 'cube' of odd.torch: expected .channels., .*got \(2, 3, 4, 5\); use"
    ):
        choose("odd.torch", {"layer": "cube"}, found)
    assert choose("odd.torch", {"layer": "cube", "pool": "flat"}, found) == Plan((found["cube"],), ("flat",))
    assert Plan((found["cube"],), ("flat",)).dim == 120
