"""Train a Wide ResNet in its CIFAR form from scratch: WRN-n-k of blocks B(3,3), of depth n = 6 N + 4, k times wide.

    python examples/wide_resnet.py                             pictures of three shapes, which are drawn
    python examples/wide_resnet.py FOLDER                      your pictures: a folder for each class
    python examples/wide_resnet.py --depth 28 --widen 10 ...   the network of the publication

S. Zagoruyko, N. Komodakis: Wide Residual Networks, BMVC 2016. Their n counts the three shortcuts with weights, but not
the classifier.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional

SIDE = 32


class Block(nn.Module):
    """B(3,3): two convolutions of 3 x 3, each after a batch norm and a ReLU, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        before = self.norm1(x).relu()
        kept = x if self.shortcut is None else self.shortcut(before)
        return kept + self.conv2(self.dropout(self.norm2(self.conv1(before)).relu()))


class WideResNet(nn.Module):
    """Three groups of (depth - 4) / 6 blocks with 16, 32 and 64 times `widen` channels."""

    def __init__(self, depth: int, widen: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth: expected 10, 16, 22, 28, ... (6 N + 4), got {depth}")
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1, bias=False)]
        for group in range(3):
            for number in range((depth - 4) // 6):
                inputs = widths[group] if number == 0 else widths[group + 1]
                layers.append(Block(inputs, widths[group + 1], 2 if number == 0 and group > 0 else 1, dropout))
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(widths[3]), nn.ReLU())
        self.classifier = nn.Linear(widths[3], classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def drawn(count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Return pictures of shapes in random colours, places and sizes; their classes, and the names of these."""
    rng, pictures, shapes = np.random.default_rng(0), [], ["ellipse", "rectangle", "line"]
    for i in range(count):
        image = Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(0, 100, 3).tolist()))
        side, (left, top) = int(rng.integers(12, 20)), rng.integers(2, 11, 2).tolist()
        draw = getattr(ImageDraw.Draw(image), shapes[i % 3])
        draw((left, top, left + side, top + side), tuple(rng.integers(150, 256, 3).tolist()))
        pictures.append(np.asarray(image))
    return tensor(pictures), torch.arange(count) % 3, shapes


def read(folder: Path) -> tuple[Tensor, Tensor, list[str]]:
    """Return the pictures of a folder with a folder for each class, their classes, and the names of these."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [(path, number) for number, name in enumerate(names) for path in sorted((folder / name).iterdir())]
    if len({number for _, number in files}) < 2:
        raise ValueError(f"{folder}: expected folders of pictures for two classes or more, got {len(names)}")
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path, _ in files]
    return tensor(pictures), torch.tensor([number for _, number in files]), names


def tensor(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1)


def augmented(batch: Tensor) -> Tensor:
    """Return the batch mirrored or not, and shifted by up to four pixels, as in the publication."""
    batch = functional.pad(batch.flip(3) if torch.rand(()) < 0.5 else batch, (4, 4, 4, 4), mode="reflect")
    top, left = torch.randint(0, 9, (2,)).tolist()
    return batch[:, :, top : top + SIDE, left : left + SIDE]


def train(network: nn.Module, x: Tensor, y: Tensor, epochs: int, rate: float, batch: int = 32) -> None:
    """Train with Nesterov's momentum and weight decay 5e-4; the learning rate falls to 0 along a cosine."""
    optimiser = torch.optim.SGD(network.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = max(1, len(x) // batch)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for chosen in torch.randperm(len(x)).chunk(steps):
            loss = functional.cross_entropy(network(augmented(x[chosen])), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
            total += loss.item() * len(chosen) / len(x)
        print(f"   epoch {epoch}: loss {total:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a Wide ResNet from scratch.")
    parser.add_argument("folder", type=Path, nargs="?", help="a folder for each class; without one, shapes are drawn")
    parser.add_argument("--depth", type=int, default=10, help="layers: 10, 16, 22, 28, ...")
    parser.add_argument("--widen", type=int, default=2, help="how many times wider than a ResNet")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.05, help="the learning rate at first")
    given = parser.parse_args()

    torch.manual_seed(0)
    x, y, names = drawn(480) if given.folder is None else read(given.folder)
    order = torch.randperm(len(x))
    train_on, test_on = order[len(x) // 4 :], order[: len(x) // 4]
    network = WideResNet(given.depth, given.widen, len(names), given.dropout)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    print(f"1. Train WRN-{given.depth}-{given.widen} ({millions:.2f} M parameters) on {len(train_on)} pictures")
    train(network, x[train_on], y[train_on], given.epochs, given.rate)

    network.eval()
    with torch.inference_mode():
        found = torch.cat([network(part).argmax(1) for part in x[test_on].split(64)])
    print(f"2. Test it on the other {len(test_on)}: accuracy {(found == y[test_on]).float().mean():.3f}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"wide_resnet: {error}")
