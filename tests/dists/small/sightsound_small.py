"""`small.acme` for images and `heard.acme` for sounds: small networks of torch with seeded numbers, without weights."""

from sightsound.plugin import Inputs, ModelSettings, hookimpl
from sightsound.torch import TorchEmbedder

SIZE = 16
IMAGE = ModelSettings(name="small.acme", size=(SIZE, SIZE), mean=(0.5,), std=(0.25,)).card(
    dim=6, input_shape=(3, SIZE, SIZE), constants={"layers": 3}
)
SOUND = ModelSettings(name="heard.acme", rate=2000, window=0.5, hop=0.25).card(
    dim=6, input_shape=(1000,), constants={"layers": 2}
)


class Small(TorchEmbedder):
    """A network of two convolutions."""

    def __init__(self, card, device):
        super().__init__(card, device, cpu_batch_size=4)
        self.preprocess = Inputs(card)

    def build(self):
        import torch
        from torch import nn

        class Mean(nn.Module):
            """The mean over positions."""

            def forward(self, x):
                return x.flatten(2).mean(2)

        torch.manual_seed(0)
        if self.card.modality == "sound":
            return nn.Sequential(
                nn.Unflatten(1, (1, 1000)), nn.Conv1d(1, 8, 25, 10), nn.ReLU(), Mean(), nn.Linear(8, 6)
            )
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), Mean(),
            nn.Linear(8, 6),
        )  # fmt: skip

    def postprocess(self, output):
        return output.embeddings


@hookimpl
def register_embedders(register):
    for card in (IMAGE, SOUND):
        register(card, lambda device, weights, card=card: Small(card, device))
