"""Time of `index` against the network alone and against a loop over files as a user would write it.

    python tests/benchmarks/end_to_end.py --sounds FOLDER --pictures FOLDER [--rounds 3]

Each round runs these one after the other:

    index     `sightsound.index` into a new library
    again     the same call once more
    bare      the network alone on prepared batches of its own size, in as many workers as it has
    decode    opening and preprocessing every file on one thread
    loop      in a process of its own, file by file: soundfile, soxr, the network in float32, torch's threads
    same      for sound, the same loop with the network that `index` uses
    photos    for pictures, the same loop with Pillow, timm's transform and the network

Printed are medians and these ratios:

    loop / index    how many times faster `index` is (target: sound 1.5, pictures 1.3); likewise same and photos
    limit / index   limit = bare + decode / cores, the least time on these cores (target: 0.8)
    index / again   how many times faster a second run over unchanged files is (target: 100)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from PIL import Image

from sightsound import Host, Model, index, media
from sightsound._threads import cores
from sightsound.media import framing

SOUND_MODEL = "yamnet.audioset_i8"
PICTURE_MODEL = "tf_efficientnet_lite0.in1k"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--sound-model", default=SOUND_MODEL)
    parser.add_argument("--picture-model", default=PICTURE_MODEL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    host = Host()
    if options.loop:
        name, folder = (
            (options.sound_model, options.sounds) if options.sounds else (options.picture_model, options.pictures)
        )
        run, paths = LOOPS[options.loop](host.load(name)), files(folder, host.card(name).modality)
        run(paths[:2])
        print(seconds(lambda: run(paths)))
        return
    if options.sounds:
        measure(host, options.sound_model, "--sounds", options.sounds, ("loop", "same"), options.rounds)
    if options.pictures:
        measure(host, options.picture_model, "--pictures", options.pictures, ("photos",), options.rounds)


def files(folder: Path, modality: str) -> list[Path]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with contextlib.suppress(media.NotMedia):
            if media.identify(path) == modality:
                found.append(path)
    return found


def measure(host: Host, name: str, option: str, folder: Path, loops: tuple[str, ...], rounds: int) -> None:
    model = host.load(name)
    paths = files(folder, model.card.modality)
    inputs = np.concatenate([inputs for path in paths for inputs in preprocessed(model, path)])
    runs: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            for key in ("index", "again"):
                timed(runs, key, lambda: index(paths, f"{place}/library", models=[name], host=host, progress=False))
        timed(runs, "bare", lambda: bare(model, inputs))
        timed(runs, "decode", lambda: [None for path in paths for _ in preprocessed(model, path)])
        for loop in loops:
            command = [sys.executable, __file__, option, str(folder), option[:-1] + "-model", name, "--loop", loop]
            plain = {**os.environ, "GLIBC_TUNABLES": ""}  # so that sightsound.torch does not configure malloc there
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=plain)
            runs.setdefault(loop, []).append(float(ran.stdout))
    show(name, len(paths), len(inputs), {key: statistics.median(values) for key, values in runs.items()})


def timed(runs: dict[str, list[float]], key: str, run: Callable[[], Any]) -> None:
    runs.setdefault(key, []).append(seconds(run))


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def show(name: str, items: int, windows: int, seconds: dict[str, float]) -> None:
    print(f"{name}: {items} files, {windows} windows, {cores()} cores")
    for key, value in seconds.items():
        print(f"  {key:8} {value:8.3f} s  {items / value:9.1f} files/s")
    for loop in LOOPS.keys() & seconds.keys():
        print(f"  {loop} / index  {seconds[loop] / seconds['index']:6.2f}")
    limit = seconds["bare"] + seconds["decode"] / cores()
    print(f"  limit / index {limit / seconds['index']:6.2f}")
    print(f"  index / again {seconds['index'] / seconds['again']:6.0f}", flush=True)


def preprocessed(model: Model, path: Path) -> Iterator[np.ndarray]:
    if model.card.modality == "image":
        yield model.preprocess(media.read_image(path, shortest=model.shortest_side).pixels).inputs
        return
    assert model.card.sample_rate is not None
    with media.open_sound(path) as sound:
        for block in framing.blocks(model.card, sound.pieces(model.card.sample_rate)):
            yield model.preprocess(*block).inputs


def bare(model: Model, inputs: np.ndarray) -> None:
    size = model.batch_size
    with ThreadPoolExecutor(model.workers) as workers:
        for output in workers.map(model.embed, [inputs[a : a + size] for a in range(0, len(inputs), size)]):
            model.postprocess(output)


Loop = Callable[[list[Path]], None]


def sound_loop(model: Model) -> Loop:
    """The loop with the network in float32, as ports of YAMNet to torch have it."""
    from sightsound_audioset import yamnet, yamnet_int8, yamnet_network

    if model.card.name != yamnet.I8.name:
        return same_loop(model)
    weights = yamnet_int8.read_tflite(Host().weights.get(yamnet.TFLITE).path)
    return clip_by_clip(model, yamnet_network.int8_network(weights).eval())


def same_loop(model: Model) -> Loop:
    return clip_by_clip(model, model.embedder.network.module)  # type: ignore[attr-defined]


def clip_by_clip(model: Model, network: Any) -> Loop:
    """The loop over files. The log-mel front end is the model's own."""
    import torch

    def run(paths: list[Path]) -> None:
        for path in paths:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            samples = soxr.resample(samples.mean(1), rate, model.card.sample_rate)
            patches = model.embedder.preprocess(samples, 0, True).inputs
            with torch.inference_mode():
                [tensor.numpy() for tensor in network(torch.from_numpy(patches))]

    return run


def picture_loop(model: Model) -> Loop:
    """The loop of timm's documentation: create_model, create_transform, one picture at a time."""
    import torch

    from sightsound.torch import import_torchvision

    import_torchvision()
    import timm

    network = timm.create_model(model.card.name.partition(".")[0], num_classes=1000).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network))

    def run(paths: list[Path]) -> None:
        for path in paths:
            picture = transform(Image.open(path).convert("RGB"))
            with torch.inference_mode():
                network.forward_head(network.forward_features(picture[None]), pre_logits=True).numpy()

    return run


LOOPS = {"loop": sound_loop, "same": same_loop, "photos": picture_loop}


if __name__ == "__main__":
    main()
