"""Attack sightsound for a time: faults, damaged files and damaged media, with seeds that were not tried before.

`make fuzz` runs it. The state file holds what was tried and what failed, so that the next run goes on with new seeds.
The exit code is 1 if anything failed in this run or one before; delete the state file to begin again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.forks import Forks, built_shim, why_no_faults
from attack.media_files import MediaGround
from attack.mutants import TARGETS, Ground
from attack.scenarios import FAULTS, SCENARIOS, Scene
from distributions import DISTS, installed

ROOT = Path(__file__).parents[2]
Attack = Callable[[int], None]


class State:
    """The seed of all runs, how many attacks of each kind were tried, and the failures; in a JSON file."""

    def __init__(self, file: Path, seed: int) -> None:
        self.file = file
        found = json.loads(file.read_text()) if file.exists() else {}
        self.seed: int = found.get("seed", seed)
        self.tried: dict[str, int] = found.get("tried", {})
        self.failures: list[dict] = found.get("failures", [])

    def save(self) -> None:
        """Write the file, which is complete at any time."""
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({"seed": self.seed, "tried": self.tried, "failures": self.failures}, indent=1))
        os.replace(part, self.file)


def faults_of(name: str, folder: Path, forks: Forks) -> Attack:
    """Return an attack with a random fault at a random call of a scenario."""
    scene = Scene(SCENARIOS[name], folder, forks)

    def attack(seed: int) -> None:
        chance = random.Random(seed)
        scene.attack(chance.choice(sorted(FAULTS)), chance.randint(1, scene.calls))

    return attack


def makers() -> dict[str, tuple[bool, Callable[[Path, Forks], Attack]]]:
    """Return for each kind of attack whether it needs faults, and what prepares it in a folder."""
    made: dict = {}
    for name in SCENARIOS:
        made[f"fault: {name}"] = True, lambda folder, forks, name=name: faults_of(name, folder, forks)
    for name in TARGETS:
        made[f"damage: {name}"] = False, lambda folder, forks, name=name: Ground(TARGETS[name], folder, forks).attack
    made["damage: 40 media files"] = False, lambda folder, forks: MediaGround(folder, forks).attack
    return made


def prepared(only: str, folder: Path, plain: Forks, faulty: Forks | None, state: State) -> dict[str, Attack]:
    """Return the attacks by name; one that cannot be prepared is a failure."""
    attacks: dict[str, Attack] = {}
    for number, (name, (needs_faults, make)) in enumerate(makers().items()):
        forks = faulty if needs_faults else plain
        if only in name and forks is not None:
            try:
                attacks[name] = make(folder / str(number), forks)
            except AssertionError as error:
                failed(state, name, -1, error)
    return attacks


def failed(state: State, name: str, seed: int, error: AssertionError) -> None:
    """Record and print a failure."""
    state.failures.append({"attack": name, "seed": seed, "what": str(error)[:20_000]})
    print(f"FAILED {name}, seed {seed}\n{str(error)[:4000]}\n", flush=True)


def run(attacks: dict[str, Attack], state: State, seconds: float) -> None:
    """Try one attack of each kind in turn, the least tried first, until the time is over."""
    end, saved = time.monotonic() + seconds, time.monotonic()
    while attacks and time.monotonic() < end:
        for name, attack in sorted(attacks.items(), key=lambda pair: state.tried.get(pair[0], 0)):
            if time.monotonic() >= end:
                break
            number = state.tried.get(name, 0)
            seed = random.Random(f"{state.seed} {name} {number}").randrange(2**32)
            try:
                attack(seed)
            except AssertionError as error:
                failed(state, name, seed, error)
            state.tried[name] = number + 1
            if time.monotonic() > saved + 5:
                state.save()
                saved = time.monotonic()


def table(state: State) -> str:
    """Return how many attacks of each kind were tried and survived, over all runs."""
    lost = [failure["attack"] for failure in state.failures]
    lines = [f"{'attack':45} {'tried':>7} {'survived':>9}"]
    for name in sorted({*state.tried, *lost}):
        tried = max(state.tried.get(name, 0), lost.count(name))
        lines.append(f"{name:45} {tried:7} {tried - lost.count(name):9}")
    return "\n".join(lines)


def main() -> int:
    """Run, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description="Attack sightsound with faults and damaged files.")
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--state", type=Path, default=ROOT / ".fuzz.json", help="what was tried (default: .fuzz.json)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of a new state file (default: 0)")
    parser.add_argument("--only", default="", help="only attacks with this text in their name")
    parser.add_argument("--again", type=int, metavar="SEED", help="only this seed, of the attacks that --only names")
    options = parser.parse_args()
    state = State(options.state, options.seed)
    known = len(state.failures)
    with tempfile.TemporaryDirectory(prefix="fuzz") as place:
        folder = Path(place)
        site = installed(DISTS / "tiny", folder)
        faulty = None if why_no_faults() else Forks(site, built_shim(folder))
        if faulty is None:
            print(f"no faults: {why_no_faults()}")
        with Forks(site) as plain:
            print("preparing", flush=True)
            attacks = prepared(options.only, folder, plain, faulty, state)
            if options.again is not None:
                for attack in attacks.values():
                    attack(options.again)
                return 0
            print(f"{len(attacks)} kinds of attack for {options.minutes:g} minutes, seed {state.seed}", flush=True)
            try:
                run(attacks, state, 60 * options.minutes)
            except KeyboardInterrupt:
                print("stopped; the next run goes on from here")
            finally:
                state.save()
        if faulty is not None:
            faulty.close()
    print(table(state))
    print(f"{len(state.failures) - known} failures in this run, {len(state.failures)} in all ({options.state})")
    return 1 if state.failures else 0


if __name__ == "__main__":
    sys.exit(main())
