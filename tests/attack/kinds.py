"""The table of attacks: what each is called, how often it should be tried, and what prepares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from attack.crowds import Crowd
from attack.forks import Forks
from attack.links import Links
from attack.media_files import MediaGround
from attack.mutants import TARGETS, Ground
from attack.odd_texts import OddTexts
from attack.scenarios import SCENARIOS
from attack.scenes import FAULTS, Scene
from attack.servers import Liar

Attack = Callable[[int], None]
FILES = 100
"""Media files that are indexed at once."""


@dataclass
class Place:
    """Where attacks are prepared: a folder, and processes without and with faults (None where they cannot be made)."""

    folder: Path
    plain: Forks
    faulty: Forks | None
    scenes: dict[str, Scene] = field(default_factory=dict)

    def new(self, name: str) -> Path:
        """Return a folder for an attack."""
        return self.folder / "".join(letter if letter.isalnum() else "_" for letter in name)

    def scene(self, name: str) -> Scene:
        """Return the scene of a scenario, which is prepared once."""
        if name not in self.scenes:
            self.scenes[name] = Scene(SCENARIOS[name], self.new(name), self.faulty)
        return self.scenes[name]


@dataclass(frozen=True)
class Kind:
    """A kind of attack.

    `target` is how many cases should be tried before a release, `cases` how many an attack tries. `prepare(place)`
    returns the attack. `faults` is whether it needs faults.
    """

    name: str
    target: int
    prepare: Callable[[Place], Attack]
    cases: int = 1
    faults: bool = False


def _faults(name: str) -> Kind:
    """Faults at a random call of a scenario."""

    def prepare(place: Place) -> Attack:
        scene = place.scene(name)

        def attack(seed: int) -> None:
            chance = Random(seed)
            scene.attack(chance.choice(sorted(FAULTS)), chance.randint(1, scene.calls))

        return attack

    target = 96 if name.startswith(("index", "forget", "relocate", "migrate", "weights")) else 24
    return Kind(f"fault: {name}", target, prepare, faults=True)


def _scenes(name: str, target: int, attack_scene: Callable[[Scene, Random], None]) -> Kind:
    """An attack on a random scenario."""

    def prepare(place: Place) -> Attack:
        scenes = [place.scene(each) for each in SCENARIOS]

        def attack(seed: int) -> None:
            random = Random(f"{name} {seed}")
            attack_scene(random.choice(scenes), random)

        return attack

    return Kind(name, target, prepare, faults=True)


def _damage(name: str, target: int) -> Kind:
    """Damage to a file of a target. Each command that opens a crafted library is a case."""
    cases = len(TARGETS[name].commands) if name == "crafted library" else 1

    def prepare(place: Place) -> Attack:
        return Ground(TARGETS[name], place.new(f"damaged {name}"), place.plain).attack

    return Kind(f"damage: {name}", target, prepare, cases)


def _media(name: str, target: int, method: Callable[[MediaGround, int, int], None]) -> Kind:
    """A folder of media files."""

    def prepare(place: Place) -> Attack:
        ground = MediaGround(place.new(name), place.plain)
        return lambda seed: method(ground, seed, FILES)

    return Kind(f"media: {name}", target, prepare, FILES)


DAMAGE = {
    "rows of a library": 300,
    **{"library": 1020, "library with a log": 580, "crafted library": 330, "probe": 600, "stack": 300},
    **{"metadata of a probe": 400, "metadata of a stack": 200, "vector": 300, "ontology": 200, "table of labels": 200},
    **{"yamnet.tflite named by the user": 130, "mobilenet_v2-b0353104.pth named by the user": 130},
    **{"yamnet.tflite in the cache": 60, "mobilenet_v2-b0353104.pth in the cache": 60},
}
KINDS = {
    kind.name: kind
    for kind in (
        *map(_faults, SCENARIOS),
        _scenes("kills at random times", 200, Scene.kill_again_and_again),
        _scenes("^C, TERM and HUP at random times", 176, Scene.interrupt),
        _scenes("closed and full streams", 72, Scene.run_without_streams),
        *(_damage(name, target) for name, target in DAMAGE.items()),
        _media("damaged", 19_000, MediaGround.attack),
        _media("odd sounds and images", 1_000, MediaGround.odd),
        _media("odd names and kinds", 400, MediaGround.odd_names),
        Kind("writers and readers at once", 150, lambda place: Crowd(place.new("crowd"), place.plain).attack),
        Kind("odd texts in names and options", 200, lambda place: OddTexts(place.new("texts"), place.plain).attack),
        Kind("links in a library", 200, lambda place: Links(place.new("links"), place.plain).attack),
        Kind("lying servers, odd sources", 200, lambda place: Liar(place.new("liar"), place.plain).attack),
    )
}
