"""Kills at random moments of every command that changes a library, which the same command makes good.

SIGHTSOUND_KILLS is the number of kills of each command.
"""

from __future__ import annotations

import os
import random

import pytest

from attack.scenarios import SCENARIOS
from attack.scenes import Scene

NAMES = (
    *("index --label-from folder", "index what changed", "forget a folder", "forget --space"),
    *("forget among many files", "compact", "compact many files", "copy"),
    *("index-build", "index-build in place of another", "compact with an index"),
    *("import", "import into a library", "merge", "merge into one"),
    "export --for huggingface",
    "import-model",
    *("label", "label --from CSV", "label --from ranges"),
    *("migrate format 1", "migrate format 2", "migrate format 3", "migrate format 4"),
)
KILLS = int(os.environ.get("SIGHTSOUND_KILLS", 20))


@pytest.mark.parametrize("name", ["import into a library", "merge"])
def test_a_few_kills_are_made_good_by_the_same_command(faulty_forks, tmp_path, name):
    kill(Scene(SCENARIOS[name], tmp_path / "scene", faulty_forks), 2, random.Random(name))


@pytest.mark.slow
def test_what_a_killed_export_left_beside_a_folder_is_removed_by_the_next_one(faulty_forks, tmp_path):
    scene = Scene(SCENARIOS["export --for huggingface"], tmp_path / "scene", faulty_forks)
    for nth in (2, scene.calls // 2, scene.calls):
        scene.attack("kill", nth)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_is_killed_at_random_moments_is_made_good_by_the_same_command(faulty_forks, tmp_path, name):
    kill(Scene(SCENARIOS[name], tmp_path / "scene", faulty_forks), KILLS, random.Random(name))


def kill(scene: Scene, kills: int, chance: random.Random) -> None:
    """Kill a command that often, a few times in a row before it is run to its end."""
    before = scene.killed
    for _ in range(3 * kills):
        if scene.killed < before + kills:
            scene.kill_again_and_again(chance)
    assert scene.killed >= before + kills, "most kills came too late"
