"""The fuzzing program: it goes on where it stopped, and keeps every failure."""

from __future__ import annotations

from attack import fuzz


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
    assert fuzz.table(again).splitlines()[1].split() == ["a", str(len(tried)), str(len(tried) - 1)]
    assert "FAILED a, seed" in capsys.readouterr().out


def test_every_scenario_and_target_is_an_attack():
    assert len(fuzz.makers()) == len(fuzz.SCENARIOS) + len(fuzz.TARGETS) + 1
