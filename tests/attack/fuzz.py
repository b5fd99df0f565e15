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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.forks import Forks, built_shim, why_no_faults
from attack.kinds import KINDS, Attack, Place
from attack.mutants import Absent
from distributions import DISTS, installed, together

ROOT = Path(__file__).parents[2]


class State:
    """The seed of all runs, how many cases of each kind were tried in how many seconds, and the failures; in JSON."""

    def __init__(self, file: Path, seed: int) -> None:
        self.file = file
        found = json.loads(file.read_text()) if file.exists() else {}
        self.seed: int = found.get("seed", seed)
        self.tried: dict[str, int] = found.get("tried", {})
        self.seconds: dict[str, float] = found.get("seconds", {})
        self.failures: list[dict] = found.get("failures", [])

    def save(self) -> None:
        """Write the file, which is complete at any time."""
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({name: value for name, value in vars(self).items() if name != "file"}, indent=1))
        os.replace(part, self.file)


def prepared(only: str, place: Place, state: State) -> dict[str, Attack]:
    """Return the attacks by name; one that cannot be prepared is a failure, or is left out if its files are absent."""
    attacks: dict[str, Attack] = {}
    for name, kind in KINDS.items():
        if only in name and not (kind.faults and place.faulty is None):
            try:
                attacks[name] = kind.prepare(place)
            except Absent as error:
                print(f"left out: {name}: {error}")
            except AssertionError as error:
                failed(state, name, -1, error)
    return attacks


def failed(state: State, name: str, seed: int, error: AssertionError) -> None:
    """Record and print a failure."""
    state.failures.append({"attack": name, "seed": seed, "what": str(error)[:20_000]})
    print(f"FAILED {name}, seed {seed}\n{str(error)[:4000]}\n", flush=True)


def run(attacks: dict[str, Attack], state: State, seconds: float) -> None:
    """Try the attack of which the least part of its target was tried, again and again until the time is over."""
    end, saved = time.monotonic() + seconds, time.monotonic()
    while attacks and time.monotonic() < end:
        name = min(attacks, key=lambda name: state.tried.get(name, 0) / target_of(name))
        number = state.tried.get(name, 0)
        seed, began = random.Random(f"{state.seed} {name} {number}").randrange(2**32), time.monotonic()
        try:
            attacks[name](seed)
        except AssertionError as error:
            failed(state, name, seed, error)
        state.tried[name] = number + cases_of(name)
        state.seconds[name] = state.seconds.get(name, 0) + time.monotonic() - began
        if time.monotonic() > saved + 5:
            state.save()
            saved = time.monotonic()


def target_of(name: str) -> int:
    """Return how many cases of a kind should be tried."""
    return KINDS[name].target if name in KINDS else 1


def cases_of(name: str) -> int:
    """Return how many cases an attack tries."""
    return KINDS[name].cases if name in KINDS else 1


def table(state: State) -> str:
    """Return how many cases of each kind were to be tried, were tried, and survived, over all runs, and the seconds."""
    lost = [failure["attack"] for failure in state.failures]
    lines = [f"{'attack':50} {'target':>7} {'tried':>7} {'survived':>9} {'seconds':>8}"]
    for name in sorted({*state.tried, *lost}):
        tried = max(state.tried.get(name, 0), lost.count(name))
        counts = f"{target_of(name):7} {tried:7} {tried - lost.count(name):9} {state.seconds.get(name, 0):8.0f}"
        lines.append(f"{name:50} {counts}")
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
        site = together([installed(DISTS / name, folder) for name in ("tiny", "fetch", "linear")], folder / "site")
        faulty = None if why_no_faults() else Forks(site, built_shim(folder))
        if faulty is None:
            print(f"no faults: {why_no_faults()}")
        with Forks(site) as plain:
            print("preparing", flush=True)
            attacks = prepared(options.only, Place(folder, plain, faulty), state)
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
