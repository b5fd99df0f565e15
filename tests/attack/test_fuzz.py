"""The fuzzing program: it goes on where it stopped, and keeps every failure."""

from __future__ import annotations

import pytest

from attack import fuzz
from attack.kinds import KINDS, Kind, Place
from attack.mutants import TARGETS
from attack.scenarios import SCENARIOS


def test_a_run_goes_on_with_new_seeds_and_keeps_the_failures(tmp_path, capsys):
    tried = []

    def attack(seed):
        tried.append(seed)
        assert len(tried) != 3, "the third"

    for _ in range(2):
        state = fuzz.State(tmp_path / "state.json", seed=7)
        before = len(tried)
        fuzz.run({"a": attack}, state, seconds=0.01)
        state.save()
        assert len(tried) > before, "each run tries something"
    assert len(set(tried)) == len(tried), "no seed twice"
    again = fuzz.State(tmp_path / "state.json", seed=8)
    assert (again.seed, again.tried["a"]) == (7, len(tried))
    assert [(failure["attack"], failure["seed"]) for failure in again.failures] == [("a", tried[2])]
    assert fuzz.table(again).splitlines()[1].split()[:-1] == ["a", "1", str(len(tried)), str(len(tried) - 1)]
    assert "FAILED a, seed" in capsys.readouterr().out


def test_every_scenario_and_target_is_an_attack():
    assert {f"fault: {name}" for name in SCENARIOS} <= set(KINDS)
    assert {f"damage: {name}" for name in TARGETS} <= set(KINDS)


def test_the_least_tried_part_of_a_target_comes_first(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "often", Kind("often", 30, lambda place: None))
    monkeypatch.setitem(KINDS, "seldom", Kind("seldom", 10, lambda place: None))
    state = fuzz.State(tmp_path / "state.json", seed=0)

    def attack(seed):
        if sum(state.tried.values()) == 19:
            clock.append(1e9)

    clock = [0.0]
    monkeypatch.setattr(fuzz.time, "monotonic", lambda: clock[-1])
    fuzz.run({"often": attack, "seldom": attack}, state, seconds=1)
    assert state.tried == {"often": 15, "seldom": 5}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith(("fault: ", "damage: ", "media: "))])
def test_each_other_kind_of_attack_is_survived(forks, faulty_forks, tmp_path, name, monkeypatch):
    monkeypatch.setattr("attack.kinds.SCENARIOS", {each: SCENARIOS[each] for each in ("index", "embed")})
    attack = KINDS[name].prepare(Place(tmp_path, forks, faulty_forks))
    attack(0)
