"""A network in two parts: the same numbers, and nothing of the first part is computed again."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch
from torch import nn

from sightsound.torch.examples import NONE, ImageExamples
from sightsound.torch.fitting import FirstOutputs, Fit
from sightsound.torch.frozen_part import split
from sightsound.torch.training import Trained, TrainingSettings


class Block(nn.Module):
    """Adds what a convolution makes of its input to it, and drops some of that."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return x + nn.functional.dropout(self.norm(self.conv(x)).relu(), 0.5, self.training)


class Residual(nn.Module):
    """Two stages of two blocks, between a stem and a mean."""

    def __init__(self):
        super().__init__()
        self.stem, self.drop = nn.Conv2d(3, 4, 3), nn.Dropout(0.1)
        self.stages = nn.ModuleList([nn.Sequential(Block(), Block()), nn.Sequential(Block(), Block())])

    def forward(self, x):
        x = self.drop(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3)), None


class Deciding(nn.Module):
    """Looks at its numbers, which cannot be traced."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.one(x)
        return self.two(x) if x.sum() > 0 else self.two(-x)


def trained(module, until):
    return Trained(module.eval(), nn.Linear(4, 2), until, TrainingSettings(), 10)


def network(kind=Residual):
    torch.manual_seed(0)
    return kind()


PICTURES = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("until", "cut"),
    [
        ("stages.0.1", "stages_0_0"),  # a stage of which a part is frozen is opened
        ("stages.1", "stages_0"),
        ("stages.1.1.norm", "stages_1_0"),  # not within a block, since its input is needed after the cut too
        (1.0, "mean"),
    ],
)
def test_the_cut_is_after_the_last_frozen_step_that_is_all_the_rest_needs(until, cut):
    parts = split(trained(network(), until), PICTURES)
    assert parts.cut == cut
    kept = parts.first(PICTURES)
    rest = parts.rest(kept)
    assert torch.equal((rest[0] if isinstance(rest, tuple) else rest), network().eval()(PICTURES)[0])


@pytest.mark.parametrize(("kind", "until"), [(Residual, 0.0), (Deciding, "two")])
def test_a_network_without_a_frozen_part_or_that_cannot_be_traced_is_left_whole(kind, until):
    inputs = PICTURES if kind is Residual else torch.rand(2, 3)
    assert split(trained(network(kind), until), inputs) is None


def test_the_rest_drops_while_it_is_trained_and_the_frozen_part_never():
    whole = trained(network(), "stages.1")
    parts = split(whole, PICTURES)
    with whole.training():
        first = parts.first(PICTURES)
        assert torch.equal(first, parts.first(PICTURES))
        torch.manual_seed(1)
        dropped = parts.rest_training(first)[0]
        torch.manual_seed(1)
        assert torch.equal(dropped, whole.module(PICTURES)[0])
        assert not torch.equal(dropped, parts.rest(first)[0])
    assert torch.equal(parts.rest(first)[0], whole.module(PICTURES)[0])


def test_networks_of_other_threads_run_while_one_is_traced():
    other, found, inside, go_on = network().eval(), [], threading.Event(), threading.Event()

    class Slow(Residual):
        def forward(self, x):
            inside.set()
            assert go_on.wait(10)
            return super().forward(x)

    def run():
        assert inside.wait(10)
        found.append(other(PICTURES)[0])
        go_on.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert split(trained(network(Slow), "stages.1"), PICTURES).cut == "stages_0"
    thread.join()
    assert torch.equal(found[0], network().eval()(PICTURES)[0])


class Kept:
    """Pictures that were decoded."""

    def __init__(self):
        images = np.random.default_rng(0).random((16, 1, 3, 9, 9), np.float32)
        images[1::2, :, :, ::2] *= 3
        self.arrays = list(images)

    def inputs(self, item):
        return self.arrays[item]


def fit(keep, settings):
    seen, module = [], network()
    module.stages[0].register_forward_hook(lambda _, inputs, output: seen.append(len(output)))

    def head(rows, targets):
        torch.manual_seed(0)
        return nn.Linear(4, 2)

    made = Fit(
        module=module,
        make_head=head,
        examples=ImageExamples(Kept(), NONE),
        targets=np.arange(16) % 2,
        train=range(12),
        held_out=range(12, 16),
        until="stages.1",
        settings=settings,
        outputs=FirstOutputs(keep),
    )
    assert made.run(lambda epoch: None, lambda: False)
    return made, seen


SETTINGS = TrainingSettings(epochs=4, batch_size=4, learning_rate=0.1)


def test_outputs_of_the_frozen_part_are_computed_once_and_training_is_the_same():
    kept, once = fit(lambda array: array, SETTINGS)
    plain, often = fit(lambda array: None, SETTINGS)
    assert sum(once) == 12 + 1 + 1 + 16, "the head, a comparison of whole and parts, and each item"
    assert sum(often) == 12 + 1 + 1 + 4 * 12 + 5 * 4
    assert kept.epochs[-1].held_out_loss != kept.epochs[0].held_out_loss, "it is trained"
    assert [each.held_out_loss for each in kept.epochs] == [each.held_out_loss for each in plain.epochs]
    assert all(torch.equal(a, b) for a, b in zip(kept.module.state_dict().values(), plain.module.state_dict().values()))


def test_a_step_in_bf16_keeps_numbers_in_float32_and_is_nearly_the_same():
    plain, _ = fit(lambda array: array, SETTINGS)
    mixed, _ = fit(lambda array: array, dataclasses.replace(SETTINGS, precision="bf16"))
    assert {each.dtype for each in mixed.module.parameters()} == {torch.float32}
    assert mixed.epochs[0].held_out_loss == plain.epochs[0].held_out_loss, "held-out items are judged in float32"
    assert 0 < abs(mixed.epochs[1].held_out_loss - plain.epochs[1].held_out_loss) < 0.02
