"""The commands that write, each with what is there before."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attack.scenes import Scenario, Scene
from attack.servers import FETCHING, NO_PROXY, honest_port
from distributions import DISTS
from made import write_image, write_shade, write_sound
from sightsound import Item, Library
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library.store import segments

sys.path.insert(0, str(DISTS / "linear"))
from sightsound_linear import write_network

LIBRARIES = Path(__file__).parents[1] / "libraries"
MODELS = ("-m", "colours.tiny", "-m", "loudness.tiny")


def _ran(scene: Scene, *words: str, imports: tuple[str, ...] = ()) -> None:
    ran = scene.forks.run(scene.words(words), imports=imports, environment=scene.environment)
    assert ran.code in (0, 1), ran.text


def _indexed(scene: Scene) -> None:
    _ran(scene, "index", "{media}", "-l", "{case}/lib", *MODELS, "--label-from", "folder")


def _older(scene: Scene) -> None:
    """An index, after which files were changed, removed, renamed and added."""
    _indexed(scene)
    write_image(scene.media / "red" / "0.png", 500)
    write_sound(scene.media / "red" / "sound.wav", 500, seconds=3)
    (scene.media / "red" / "1.png").unlink()
    (scene.media / "red" / "2.png").rename(scene.media / "green" / "renamed.png")
    write_image(scene.media / "new.png", 501)


def _missing(scene: Scene) -> None:
    _indexed(scene)
    shutil.rmtree(scene.media / "red")


def _copied(scene: Scene) -> None:
    _indexed(scene)
    shutil.copytree(scene.media, f"{scene.media}2")


def _format(number: int) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        (scene.case / "lib").mkdir()
        packed = (LIBRARIES / f"format{number}.sqlite.gz").read_bytes()
        (scene.case / "lib" / "library.sqlite").write_bytes(gzip.decompress(packed))
        for file in LIBRARIES.glob(f"format{number}/library.*"):
            shutil.copy(file, scene.case / "lib")

    return prepare


def _for_a_stack(scene: Scene) -> None:
    """More images, which the cross-validation in a cross-validation needs, with the vectors of two networks."""
    for colour, name in enumerate(("red", "green")):
        for i in range(4, 12):
            write_shade(scene.media / name / f"{i}.png", colour, 100 * colour + i)
    _indexed(scene)
    _ran(scene, "index", "{media}", *LIBRARY, "-m", "pixels.fetch")


def _forgotten(scene: Scene) -> None:
    """A library that rows were removed from."""
    _indexed(scene)
    _ran(scene, "forget", "{media}/red", *LIBRARY)


def _several(scene: Scene, images: int = 120, rows_each: int = 7, most: int = 40) -> None:
    """A library with several small files of at most `most` rows, each with some that were removed."""
    space = Space("net.made", json.dumps({"dim": 4, "modality": "image", "stages": []}))
    random = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch, Library(scene.case / "lib", create=True) as library:
        patch.setattr(segments, "MAX_BYTES", 16 * most)
        with library.writing() as writer:
            for number in range(images):
                item = Item(str(scene.media), f"{number % 3}/{number}.png")
                writer.items.record(item, (0, 0), hashlib.sha256(bytes([number])).digest(), "image")
                rows = random.normal(size=(rows_each, 4)).astype(np.float32)
                writer.add_rows(Rows(item, None, rows), writer.space_id(space))
                writer.outcomes.record(Outcome(item, "ok"), writer.space_id(space))
    _ran(scene, "forget", "{media}/1", *LIBRARY)


def _for_an_index(scene: Scene) -> None:
    """A library of which one thread builds an index: two would wait for one another on a busy core."""
    scene.environment.update(SIGHTSOUND_THREADS="1")
    _several(scene, 60, 3, 70)


def _other_index(scene: Scene) -> None:
    """A library with an index, after which rows were removed from it."""
    _for_an_index(scene)
    _ran(scene, "index-build", *LIBRARY, "--kind", "ivf")
    _ran(scene, "forget", "{media}/0", *LIBRARY)


def _csv_labels(scene: Scene) -> None:
    rows = [f"{path.relative_to(scene.media)},{path.stem}" for path in sorted(scene.media.rglob("*.png"))]
    (scene.media / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))


def _labelled(scene: Scene) -> None:
    """An index, a table of other labels for its files, and one of time ranges of its recording."""
    _indexed(scene)
    _csv_labels(scene)
    rows = [f"red/sound.wav,{start / 1000},{start / 1000 + 0.1},{start % 7}" for start in range(1500)]
    (scene.media / "ranges.csv").write_text("\n".join(["path,start,stop,call", *rows, ""]))
    _ran(scene, "label", "--from", "{media}/ranges.csv", *LIBRARY)
    (scene.media / "ranges.csv").write_text("\n".join(["path,start,stop,call", *rows[::2], ""]))


def _network(scene: Scene) -> None:
    """A network in a file, and another that was imported under the same name."""
    scene.environment.update(SIGHTSOUND_MODELS=str(scene.case / "out-models"))
    write_network(scene.media / "old.npz", seed=1)
    write_network(scene.media / "net.npz")
    _ran(scene, "import-model", "{media}/old.npz", "--name", "mine")


def _rows(scene: Scene, files: int = 800) -> None:
    """A table with the rows of the media, of many files that are not there, and some that are no numbers."""
    here = [str(path.relative_to(scene.media)) for path in sorted(scene.media.rglob("*.png"))]
    paths = [path for path in [*here, *(f"gone/{n}.png" for n in range(files))] for _ in range(2)]
    rows = np.random.default_rng(0).normal(size=(len(paths), 48)).astype(np.float32)
    rows[100::200, 3] = np.nan
    copy, original = (2 * here.index(path) for path in ("copy.png", "red/0.png"))
    rows[copy : copy + 2] = rows[original : original + 2]
    kinds = np.array([path.partition("/")[0] for path in paths])
    np.savez(scene.media / "rows.npz", paths=np.array(paths), embeddings=rows, kind=kinds)


def _rows_beside_others(scene: Scene) -> None:
    """The same table, and a library of the media."""
    _rows(scene)
    _indexed(scene)


def _two(scene: Scene, items: int = 500) -> None:
    """Two libraries that share some items and contents, with labels that differ."""
    _indexed(scene)
    (scene.case / "lib").rename(scene.case / "a")
    _ran(scene, "index", "{media}/red", "-l", "{case}/b", *MODELS, "--label-from", "folder")
    space = Space("net.made", json.dumps({"dim": 4, "modality": "image", "stages": []}))
    random = np.random.default_rng(0)
    vectors = random.normal(size=(2 * items, 3, 4)).astype(np.float32)
    for name, numbers in (("a", range(items // 2)), ("b", range(items // 4, items))):
        with Library(scene.case / name) as library, library.writing() as writer:
            for number in numbers:
                item = Item(str(scene.media), f"{name if number % 3 else 'both'}/{number}.png")
                writer.items.record(item, (0, 0), hashlib.sha256(b"%d" % number).digest(), "image", renamed=False)
                writer.add_rows(Rows(item, None, vectors[number]), writer.space_id(space))
                writer.outcomes.record(Outcome(item, "ok"), writer.space_id(space))
                writer.items.label(writer.items.id(item), "who", [name if number % 5 else "both"])


def _two_as_one(scene: Scene) -> None:
    _two(scene)
    (scene.case / "a").rename(scene.case / "lib")


def _existing_output(scene: Scene) -> None:
    (scene.case / "out.npz").write_bytes(b"old")


def _probe(scene: Scene) -> None:
    _indexed(scene)
    _ran(scene, *PROBE, "{case}/a.probe", imports=FITTING)


def _served(kind: str) -> Callable[[Scene], None]:
    """A server on this machine that has the weight file of the network KIND.fetch, and an empty cache."""

    def prepare(scene: Scene) -> None:
        scene.environment.update(SIGHTSOUND_FETCH=f"http://127.0.0.1:{honest_port()}/{kind}", **NO_PROXY)
        scene.environment.update(XDG_CACHE_HOME=str(scene.case / "out-cache"))

    return prepare


LIBRARY = ("-l", "{case}/lib")
FITTING = ("sklearn.linear_model", "sklearn.svm", "scipy.optimize", "scipy.stats", "sightsound.learn.fit")
PLOTTING = ("matplotlib.pyplot", "sightsound.plot.reports", "sightsound.plot.sounds")
PROBE = ("probe", "fit", *LIBRARY, "-m", "colours.tiny", "--folds", "2", "-o")
TAG = ("tag", "{media}/red/sound.wav", "-m", "loudness.tiny")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("index", ("index", "{media}", *LIBRARY, *MODELS), codes=frozenset({0, 1})),
        Scenario(
            "index --label-from folder",
            ("index", "{media}", *LIBRARY, *MODELS, "--label-from", "folder"),
            codes=frozenset({0, 1}),
        ),
        Scenario(
            "index --label-from CSV",
            ("index", "{media}", *LIBRARY, *MODELS, "--label-from", "{media}/labels.csv"),
            _csv_labels,
            frozenset({0, 1}),
        ),
        Scenario("index what changed", ("index", "{media}", *LIBRARY, *MODELS), _older, frozenset({0, 1})),
        Scenario("forget a folder", ("forget", "{media}/red", *LIBRARY, "--yes"), _indexed),
        Scenario("forget --missing", ("forget", "--missing", "--yes", *LIBRARY), _missing),
        Scenario("forget --space", ("forget", "--space", "colours.tiny", "--yes", *LIBRARY), _indexed),
        Scenario("label", ("label", "{media}/red", *LIBRARY, "--set", "species=owl", "--clear", "label"), _labelled),
        Scenario("label --from CSV", ("label", "--from", "{media}/labels.csv", *LIBRARY), _labelled),
        Scenario("label --from ranges", ("label", "--from", "{media}/ranges.csv", *LIBRARY), _labelled),
        Scenario(
            "export --for huggingface",
            ("export", "{case}/lib", "--to", "{case}/out", "--for", "huggingface", "--modality", "image", "--copy"),
            _indexed,
        ),
        Scenario("label --to", ("label", "--to", "{case}/out.csv", *LIBRARY), _labelled),
        Scenario("relocate", ("relocate", "{media}", "{media}2", *LIBRARY), _copied),
        Scenario("compact", ("compact", *LIBRARY), _forgotten),
        Scenario("compact many files", ("compact", *LIBRARY), _several),
        Scenario("forget among many files", ("forget", "{media}/2", *LIBRARY, "--yes"), _several),
        Scenario("index-build", ("index-build", *LIBRARY, "--kind", "ivf-sq8"), _for_an_index),
        Scenario("index-build in place of another", ("index-build", *LIBRARY, "--kind", "hnsw"), _other_index),
        Scenario("compact with an index", ("compact", *LIBRARY), _other_index),
        Scenario("copy", ("copy", "{case}/lib", "{case}/second"), _indexed),
        Scenario("migrate format 3", ("relocate", "/nowhere/media", "{media}", *LIBRARY), _format(3)),
        Scenario("migrate format 4", ("relocate", "/zoo", "{media}", *LIBRARY), _format(4)),
        Scenario("migrate format 1", ("relocate", "/nowhere/media", "{media}", *LIBRARY), _format(1)),
        Scenario("migrate format 2", ("relocate", "/nowhere/media", "{media}", *LIBRARY), _format(2)),
        Scenario(
            "import",
            ("import", "{media}/rows.npz", *LIBRARY, "--space", "mine", "--labels", "kind"),
            _rows,
            frozenset({1}),
        ),
        Scenario(
            "import into a library",
            ("import", "{media}/rows.npz", *LIBRARY, "--space", "mine", "--labels", "kind"),
            _rows_beside_others,
            frozenset({1}),
        ),
        Scenario("merge", ("merge", "{case}/a", "{case}/b", "--into", "{case}/lib", "--prefer", "both"), _two),
        Scenario(
            "merge into one", ("merge", "{case}/lib", "{case}/b", "--into", "{case}/lib", "--prefer", "b"), _two_as_one
        ),
        Scenario("import-model", ("import-model", "{media}/net.npz", "--name", "mine", "--replace"), _network),
        Scenario("embed", ("embed", "{media}/green", "-m", "colours.tiny", "-o", "{case}/out.npz"), _existing_output),
        Scenario("tag --csv", (*TAG, "--csv", "-o", "{case}/out.csv")),
        Scenario("tag --raven", (*TAG, "--raven", "-o", "{case}/out.txt")),
        Scenario("tag --json", (*TAG, "--json", "-o", "{case}/out.json")),
        Scenario("tag --audacity", (*TAG, "{media}/red/sound.wav", "--audacity", "-o", "{case}/out")),
        Scenario("tag --plot", (*TAG, "--plot", "{case}/out.png"), imports=PLOTTING),
        Scenario("tag --wordcloud", (*TAG, "--wordcloud", "{case}/out.png"), imports=(*PLOTTING, "wordcloud")),
        Scenario("probe fit", (*PROBE, "{case}/out.probe"), _indexed, imports=FITTING),
        Scenario(
            "probe show --plot",
            ("probe", "show", "{case}/a.probe", "--plot", "{case}/out.png"),
            _probe,
            imports=PLOTTING,
        ),
        Scenario(
            "probe export", ("probe", "export", "{case}/a.probe", "-o", "{case}/out.onnx"), _probe, imports=("onnx",)
        ),
        Scenario(
            "stack",
            ("stack", *LIBRARY, "-m", "colours.tiny", "-m", "pixels.fetch", "--folds", "2", "-o", "{case}/out.probe"),
            _for_a_stack,
            imports=FITTING,
        ),
        *(
            Scenario(f"weights get ({kind})", ("weights", "get", f"{kind}.fetch"), _served(kind), imports=FETCHING)
            for kind in ("sha256", "blob", "unknown")
        ),
    )
}
