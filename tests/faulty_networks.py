"""A correct embedder around a network of torch, and variants with one fault each, with the check that must find it."""

import copy
import dataclasses

import torch
from torch import nn

from faulty_embedders import IMAGE, CorrectImage
from sightsound.torch import TorchEmbedder


class Small(nn.Module):
    """Embeddings of twelve numbers, and scores of two classes; numbers from a fixed seed."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.second, self.classes = nn.Linear(12, 16), nn.Linear(16, 12), nn.Linear(12, 2)

    def between(self, hidden):
        return hidden

    def forward(self, inputs):
        rows = self.second(self.between(self.first(inputs.flatten(1)).tanh()))
        return rows, self.classes(rows).sigmoid()


class CorrectNetwork(TorchEmbedder):
    card = dataclasses.replace(IMAGE, name="correct.network")
    preprocess = CorrectImage.preprocess
    postprocess = CorrectImage.postprocess

    def __init__(self, device="cpu", weights=()):
        super().__init__(self.card, device, cpu_batch_size=4)

    def build(self):
        return Small()


# -- module ------------------------------------------------------------------------------------------------------------


class NoModule(CorrectNetwork):
    def module(self):
        return self.embed

    def folded(self, network):
        return Small().eval()


class InTraining(CorrectNetwork):
    def module(self):
        return super().module().train()

    def build(self):
        return Small().eval()


class OtherWeights(CorrectNetwork):
    def __init__(self, device="cpu", weights=()):
        super().__init__(device)
        self.seed = -1

    def build(self):
        self.seed += 1
        return Small(self.seed)


class ScoresFirst(CorrectNetwork):
    """The network itself is right, the module returns its scores before the embeddings."""

    def module(self):
        module = super().module()
        module.forward = lambda inputs: Small.forward(module, inputs)[::-1]
        return module

    def folded(self, network):
        del network.forward
        return network


class Frozen(CorrectNetwork):
    def module(self):
        return super().module().requires_grad_(False)


class Detached(CorrectNetwork):
    class Network(Small):
        def between(self, hidden):
            return hidden.detach()

    def build(self):
        return self.Network()


class WithoutGradients(CorrectNetwork):
    class Network(Small):
        @torch.no_grad()
        def forward(self, inputs):
            return super().forward(inputs)

    def build(self):
        return self.Network()


class OneModule(CorrectNetwork):
    shared = Small().eval()

    def module(self):
        return self.shared

    def folded(self, network):
        return copy.deepcopy(network)


# -- derive ------------------------------------------------------------------------------------------------------------


class DerivesInPlace(CorrectNetwork):
    def derive(self, card, state, head=None):
        self.card = card
        return self


class KeepsItsCard(CorrectNetwork):
    def derive(self, card, state, head=None):
        return super().derive(self.card, state)


class IgnoresTheState(CorrectNetwork):
    def derive(self, card, state, head=None):
        return super().derive(card, Small().state_dict(), head)


class LoadsHalfOfTheState(CorrectNetwork):
    def derive(self, card, state, head=None):
        half = {name: value for name, value in state.items() if name.startswith("first")}
        return super().derive(card, Small(1).state_dict() | half, head)


class IgnoresTheHead(CorrectNetwork):
    def derive(self, card, state, head=None):
        derived = super().derive(card, state, head)
        derived._head = None
        return derived


class HeadWithoutBias(CorrectNetwork):
    def derive(self, card, state, head=None):
        return super().derive(card, state, head and (head[0], 0 * head[1]))


class ChangesItsParent(CorrectNetwork):
    def derive(self, card, state, head=None):
        self.network.module.load_state_dict(state)
        return super().derive(card, state, head)


FAULTS = [
    (NoModule, "module_gives_the_rows", "expected a torch.nn.Module, got method; drop the method without one"),
    (InTraining, "module_gives_the_rows", "expected evaluation mode, got training mode in the network itself"),
    (OtherWeights, "module_gives_the_rows", "expected the embeddings of embed"),
    (ScoresFirst, "module_gives_the_rows", "expected embeddings (4, 12), got (4, 2)"),
    (Frozen, "module_is_a_trainable_copy", "expected trainable parameters, got none"),
    (Detached, "module_is_a_trainable_copy", "expected a gradient at its first parameter 'first.weight', got none"),
    (WithoutGradients, "module_is_a_trainable_copy", "likely `no_grad`, `inference_mode` or `.detach()`"),
    (OneModule, "module_is_a_trainable_copy", "expected a new network in each call"),
    (DerivesInPlace, "derive_gives_the_same_network", "expected a new embedder, got the same one"),
    (KeepsItsCard, "derive_gives_the_same_network", "with the card that was given"),
    (IgnoresTheState, "derive_gives_the_same_network", "likely `state` is not used"),
    (LoadsHalfOfTheState, "derive_gives_the_same_network", "with the state of module(): expected the rows"),
    (IgnoresTheHead, "derive_gives_the_same_network", "with a head of three classes: expected scores (n, 3)"),
    (HeadWithoutBias, "derive_gives_the_same_network", "expected softmax(embeddings @ weight.T + bias)"),
    (ChangesItsParent, "derive_gives_the_same_network", "that of the first embedder changed"),
]
"""An embedder, its check, and words of the message."""
