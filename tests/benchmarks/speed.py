"""Files to a committed library, against the loops that a user would write. Every loop runs in the same run.

    python tests/benchmarks/speed.py --sounds FOLDER --pictures FOLDER [--savedmodel FOLDER] [--rounds 3] [--only clips]

Parts, in the order in which they are shown:

    clips      the recordings in --sounds with yamnet.audioset_i8, against LiteRT with the same file on one thread,
               window by window, and against the SavedModel of TF-Hub clip by clip, if --savedmodel and TensorFlow are
               there
    hour       `tag` of one hour of FLAC made of these recordings, against LiteRT
    pictures   the pictures in --pictures with tf_efficientnet_lite0.in1k, in float32 and in bf16, against Pillow, timm
               and torch, one by one
    photos     100 JPEGs of 12 megapixels made of these pictures, also with `[decode=scaled]`, against the same
    resnet50   ResNet-50 with seeded weights, against the same

Each measurement is a process of its own, which first runs over two files: loading is not measured, and no network is
compiled in it. The rounds take turns. Printed are medians of seconds, and for each loop how many times as long as ours
it takes (the median of the rounds, with the least and the largest). `utilisation` is the part of the cores that was
used, `work` the part of that time which the stages of the pipeline took; see `sightsound index --timing`. `again` is a
second run over the unchanged files.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SOUND, PICTURE, RESNET = "yamnet.audioset_i8", "tf_efficientnet_lite0.in1k", "resnet50.a1_in1k"
RATE, WINDOW, HOP = 16000, 15600, 7680
PHOTO = (4000, 3000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--savedmodel", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=["clips", "hour", "pictures", "photos", "resnet50"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, *arguments = options.run
        print(json.dumps(RUNS[name](*arguments)))
        return
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        for part, runs in parts(options, Path(place)).items():
            figures[part] = measured(part, runs, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def parts(options: argparse.Namespace, place: Path) -> dict[str, dict[str, list[str]]]:
    """Return for each part its runs by name: ours first, then the loops."""
    found: dict[str, dict[str, list[str]]] = {}
    wanted = options.only or ["clips", "hour", "pictures", "photos", "resnet50"]
    if options.sounds:
        folder = str(options.sounds)
        found["clips"] = {"index": ["index", folder, SOUND], "LiteRT": ["litert", folder]}
        if options.savedmodel and importlib.util.find_spec("tensorflow"):
            found["clips"]["TF-Hub"] = ["tfhub", folder, str(options.savedmodel)]
        if "hour" in wanted:
            file = str(hour_of(options.sounds, place))
            found["hour"] = {"tag": ["tag", file], "LiteRT": ["litert", file]}
    if options.pictures:
        folder, weights = str(options.pictures), ""
        found["pictures"] = pictures(folder, PICTURE, weights)
        if "photos" in wanted:
            photos = str(photographs(options.pictures, place / "photos"))
            found["photos"] = pictures(photos, PICTURE, weights)
            found["photos"]["scaled"] = ["index", photos, f"{PICTURE}[decode=scaled]", weights]
        if "resnet50" in wanted:
            found["resnet50"] = pictures(folder, RESNET, str(seeded(place)))
    return {part: runs for part, runs in found.items() if part in wanted}


def pictures(folder: str, model: str, weights: str) -> dict[str, list[str]]:
    return {
        "index": ["index", folder, model, weights],
        "bf16": ["index", folder, f"{model}[precision=bf16]", weights],
        "timm": ["timm", folder, model, weights],
    }


def measured(part: str, runs: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """Run the rounds, print the figures, and return them."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            words = [sys.executable, __file__, "--run", *run]
            ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
            if ran.returncode:
                sys.exit(f"{part}, {name}: failed")
            found[name].append(json.loads(ran.stdout.splitlines()[-1]))
    ours, loops = [name for name in runs if "utilisation" in found[name][0]], list(runs)
    print(f"\n{part}: {found[loops[0]][0]['files']:.0f} files, {len(os.sched_getaffinity(0))} cores")
    figures: dict[str, Any] = {}
    for name, rows in found.items():
        figures[name] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        more = "".join(f"  {key} {figures[name][key]:.2f}" for key in ("utilisation", "work") if key in figures[name])
        more += f"  again {figures[name]['again']:.3f} s" if "again" in figures[name] else ""
        print(f"  {name:8} {figures[name]['seconds']:8.2f} s{more}")
    for loop in (name for name in loops if name not in ours):
        for name in ours:
            ratios = [b["seconds"] / a["seconds"] for a, b in zip(found[name], found[loop])]
            figures[f"{loop} / {name}"] = statistics.median(ratios)
            print(f"  {loop} / {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    sys.stdout.flush()
    return figures


# -- files -------------------------------------------------------------------------------------------------------------


def files_in(folder: str) -> list[Path]:
    """Return the media in a folder, or the one file."""
    ends = (".ogg", ".wav", ".flac", ".jpeg", ".jpg")
    path = Path(folder)
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix.lower() in ends)


def hour_of(folder: Path, place: Path, seconds: int = 3600) -> Path:
    """Return a FLAC of recordings of 44.1 kHz, one after the other."""
    import soundfile

    file, at = place / "hour.flac", 0
    with soundfile.SoundFile(file, "w", 44100, 1, "PCM_16") as written:
        while at < seconds * 44100:
            for path in files_in(str(folder)):
                samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
                if rate == 44100 and at < seconds * 44100:
                    samples = samples[: seconds * 44100 - at, 0]
                    written.write(samples)
                    at += len(samples)
    return file


def photographs(folder: Path, place: Path, count: int = 100) -> Path:
    """Return a folder of JPEGs of 12 megapixels: pictures side by side, enlarged, with the noise of a sensor."""
    from PIL import Image

    place.mkdir()
    random, paths = np.random.default_rng(0), files_in(str(folder))
    noise = random.normal(0, 4, (PHOTO[1], PHOTO[0], 1))
    for number in range(count):
        tiles = [
            Image.open(paths[(12 * number + i) % len(paths)]).convert("RGB").resize((1000, 1000)) for i in range(12)
        ]
        photo = Image.new("RGB", PHOTO)
        for i, tile in enumerate(tiles):
            photo.paste(tile, (1000 * (i % 4), 1000 * (i // 4)))
        pixels = np.asarray(photo, np.float32) + np.roll(noise, 1000 * number, axis=0)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number:03}.jpg", quality=92)
    return place


def seeded(place: Path) -> Path:
    """Return a weight file of ResNet-50 with random numbers."""
    from safetensors.torch import save_file

    from sightsound.torch import import_torchvision

    import_torchvision()
    import timm
    import torch

    torch.manual_seed(0)
    file = place / f"{RESNET}.safetensors"
    save_file(timm.create_model("resnet50", pretrained=False).state_dict(), file)
    return file


# -- ours --------------------------------------------------------------------------------------------------------------


def run_index(folder: str, model: str, weights: str = "") -> dict[str, float]:
    from sightsound import Host, index

    host, paths = Host(weights=[weights] if weights else []), files_in(folder)
    with tempfile.TemporaryDirectory() as place:
        index(paths[:2], f"{place}/two", models=[model], host=host, progress=False)
        began = time.perf_counter()
        report = index(paths, f"{place}/library", models=[model], host=host, progress=False)
        seconds = time.perf_counter() - began
        again = index(paths, f"{place}/library", models=[model], host=host, progress=False).elapsed
    if report.counts["ok"] != len(paths):
        sys.exit(f"{folder}: {dict(report.counts)}")
    timing = report.timing
    assert timing is not None
    more = {"utilisation": timing.utilisation, "work": timing.work_ratio, "again": again}
    return {"files": len(paths), "seconds": seconds, **more, **{f"cpu {k}": v for k, v in timing.stages.items()}}


def run_tag(file: str) -> dict[str, float]:
    from sightsound import Host, tag

    host = Host()
    with tempfile.TemporaryDirectory() as place:
        tag(hour_of(Path(file), Path(place), seconds=10), models=SOUND, host=host, progress=False)
    began, cpu = time.perf_counter(), time.process_time()
    (found,) = tag(file, models=SOUND, host=host, progress=False)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert found.segments
    return {"files": 1, "seconds": seconds, "utilisation": cpu / seconds / len(os.sched_getaffinity(0))}


# -- loops -------------------------------------------------------------------------------------------------------------


def timed(paths: list[Path], run: Callable[[Path], Any]) -> dict[str, float]:
    """Run over two files, and then measure."""
    for path in paths[:2] if len(paths) > 1 else []:
        run(path)
    began = time.perf_counter()
    for path in paths:
        run(path)
    return {"files": len(paths), "seconds": time.perf_counter() - began}


def run_litert(folder: str) -> dict[str, float]:
    import soundfile
    import soxr
    from ai_edge_litert.interpreter import Interpreter

    from sightsound import Host

    (weights,) = Host().card(SOUND).weights
    network = Interpreter(str(Host().weights.get(weights, model=SOUND, plugin="yamnet").path), num_threads=1)
    network.allocate_tensors()
    (given,) = network.get_input_details()
    scores = network.get_output_details()[0]["index"]

    def window(samples: np.ndarray) -> np.ndarray:
        network.set_tensor(given["index"], samples.reshape(given["shape"]))
        network.invoke()
        return network.get_tensor(scores)

    def run(path: Path) -> None:
        held, found = np.empty(0, np.float32), []
        with soundfile.SoundFile(path) as file:
            stream = soxr.ResampleStream(file.samplerate, RATE, 1, dtype="float32")
            left = file.frames
            while left:
                read = file.read(file.samplerate * 30, dtype="float32", always_2d=True)
                left = left - len(read) if len(read) else 0
                held = np.concatenate([held, stream.resample_chunk(read.mean(axis=1), last=not left)])
                while len(held) >= WINDOW:
                    found.append(window(held[:WINDOW]))
                    held = held[HOP:]
        if len(held) > WINDOW - HOP:
            found.append(window(np.pad(held, (0, WINDOW - len(held)))))

    return timed(files_in(folder), run)


def run_tfhub(folder: str, savedmodel: str) -> dict[str, float]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import soundfile
    import soxr
    import tensorflow_hub

    network = tensorflow_hub.load(savedmodel)

    def run(path: Path) -> None:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        scores, embeddings, _ = network(soxr.resample(samples.mean(axis=1), rate, RATE))
        scores.numpy(), embeddings.numpy()

    return timed(files_in(folder), run)


def run_timm(folder: str, model: str, weights: str = "") -> dict[str, float]:
    """The loop of timm's documentation: create_model, create_transform, one picture at a time."""
    from PIL import Image

    from sightsound.torch import import_torchvision

    import_torchvision()
    import timm
    import torch

    settings = {"pretrained": False, "num_classes": 1000, **({"checkpoint_path": weights} if weights else {})}
    network = timm.create_model(model.partition(".")[0], **settings).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network))

    def run(path: Path) -> None:
        picture = transform(Image.open(path).convert("RGB"))
        with torch.inference_mode():
            network.forward_head(network.forward_features(picture[None]), pre_logits=True).numpy()

    return timed(files_in(folder), run)


RUNS: dict[str, Callable[..., dict[str, float]]] = {
    "index": run_index,
    "tag": run_tag,
    "litert": run_litert,
    "tfhub": run_tfhub,
    "timm": run_timm,
}

if __name__ == "__main__":
    main()
