"""Photographs of 12 megapixels: what each step costs, and how near rows of `[decode=scaled]` are to the exact ones.

    python tests/benchmarks/large_photographs.py FOLDER [--models NAME,NAME] [--count 100] [--keep FOLDER]

The photographs are made of those in FOLDER (four megapixels or less, as of Imagenette): each is enlarged to 4000 x 3000
pixels, gets the detail of mosaics of others at three sizes, and noise as of a sensor; it is saved as JPEG of quality 92
with 4:2:0. They take 4 MB each.

Printed are the median CPU milliseconds of each step on one thread, with and without the option, and for each network
the mean and least cosine of its rows with the option to those without, and how often the first class is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightsound import Host, media

SIZE = (4000, 3000)
DETAIL = {896: 0.35, 448: 0.35, 224: 0.35}
"""Side of the tiles of a mosaic in pixels, and the share of its detail that is added."""

COARSE = 16
"""What a mosaic has at this fraction of the size is not detail."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="mobilenet_v2.tv_in1k,tf_efficientnet_lite0.in1k")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="where the photographs are kept, and found the next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = options.keep or Path(place)
        paths = photographs(options.folder, folder, options.count)
        host = Host()
        for name in options.models.split(","):
            compare(host, name, paths)


def photographs(source: Path, folder: Path, count: int) -> list[Path]:
    """Return `count` large photographs in a folder, and make those that are missing."""
    sources = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        found.append(folder / f"{number:04}.jpg")
        if not found[-1].exists():
            picture = photograph(sources[number * len(sources) // count], sources, np.random.default_rng(number))
            picture.save(found[-1], quality=92, subsampling="4:2:0")
    return found


def photograph(path: Path, sources: list[Path], random: np.random.Generator) -> Image.Image:
    width, height = SIZE
    with Image.open(path) as image:
        cut = image.convert("RGB")
    rows = cut.width * height // width
    top = (cut.height - rows) // 2
    cut = cut.crop((0, top, cut.width, top + rows))
    pixels = np.asarray(cut.resize(SIZE, Image.Resampling.LANCZOS)).astype(np.float32)
    for side, share in DETAIL.items():
        mosaic = Image.new("RGB", SIZE)
        for y in range(0, height, side):
            for x in range(0, width, side):
                with Image.open(sources[random.integers(len(sources))]) as tile:
                    mosaic.paste(tile.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), (x, y))
        coarse = mosaic.resize((width // COARSE, height // COARSE), Image.Resampling.BOX).resize(SIZE)
        pixels += share * (np.asarray(mosaic).astype(np.float32) - np.asarray(coarse).astype(np.float32))
    pixels += random.normal(0, 3, (height, width, 1)).astype(np.float32)  # brightness, then colour
    pixels += random.normal(0, 2, pixels.shape).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def hash_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def compare(host: Host, name: str, paths: list[Path]) -> None:
    times: dict[str, list[float]] = {}
    cosines, same = [], 0

    def timed(step: str, run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        began = time.process_time()
        found = run(*arguments, **options)
        times.setdefault(step, []).append(1000 * (time.process_time() - began))
        return found

    models = {"full": host.load(name), "scaled": host.load(f"{name}[decode=scaled]")}
    for path in paths:
        rows, best = [], []
        timed("hash", hash_of, path)
        for key, model in models.items():
            read = timed(f"{key}: decode", media.read_image, path, shortest=model.shortest_side)
            inputs = timed(f"{key}: resize, normalise", model.preprocess, read.pixels).inputs
            output = timed(f"{key}: network", model.embed, inputs)
            row = model.postprocess(output)[0].astype(float)
            rows.append(row / np.linalg.norm(row))
            best.append(-1 if output.scores is None else int(output.scores[0].argmax()))
        cosines.append(float(rows[0] @ rows[1]))
        same += best[0] == best[1]
    print(
        f"{name}: {len(paths)} photographs, {sum(path.stat().st_size for path in paths) / len(paths) / 1e6:.1f} MB each"
    )
    for step, values in times.items():
        print(f"  {step:28} {statistics.median(values):7.1f} ms")
    print(f"  cosine: mean {statistics.mean(cosines):.5f}, least {min(cosines):.5f}; first class the same: {same}")


if __name__ == "__main__":
    main()
