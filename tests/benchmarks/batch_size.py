"""Inputs per second of a torch network on this CPU by batch size and number of workers.

    python tests/benchmarks/batch_size.py [MODEL ...] [--seconds 2]

`workers`: several calls at once, each on one core. `spread`: one call over all cores, as torch does by default. The
last line is their ratio, each at its best batch size.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sightsound import Host
from sightsound._threads import cores

SIZES = (1, 2, 4, 8, 16, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["tf_efficientnet_lite0.in1k", "yamnet.audioset_i8"])
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    host = Host()
    for name in options.models:
        model = host.load(name, "cpu")
        print(f"{name}, {cores()} cores, batch size {model.batch_size}")
        best = {}
        for kind, call, workers in (("workers", model.embed, cores()), ("spread", spread(model.embedder), 1)):
            rates = {size: rate(call, model.card.input_shape, size, workers, options.seconds) for size in SIZES}
            print(f"  {kind:7}" + "".join(f"  {size}: {value:.0f}/s" for size, value in rates.items()))
            best[kind] = max(rates.values())
        print(f"  workers / spread {best['workers'] / best['spread']:.2f}", flush=True)


def spread(embedder: Any) -> Callable[[np.ndarray], object]:
    """One call over all cores, the default of torch."""
    import torch

    def call(inputs: np.ndarray) -> object:
        batch = torch.from_numpy(inputs)
        with torch.inference_mode():
            return embedder.network.module(
                batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch
            )

    return call


def rate(call: Callable[..., object], shape: tuple[int, ...], size: int, workers: int, seconds: float) -> float:
    inputs = np.random.default_rng(0).standard_normal((size, *shape)).astype(np.float32)
    call(inputs)
    end = time.perf_counter() + seconds

    def worker(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            call(inputs)
            done += size
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        total = sum(pool.map(worker, range(workers)))
    return total / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
