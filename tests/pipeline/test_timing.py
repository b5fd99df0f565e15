"""The time of stages: what is added up, and what `index` says of it."""

from __future__ import annotations

import json
import threading
import time

import pytest

from sightsound import index
from sightsound.pipeline.timing import StageTimes, Timing


def work(seconds: float) -> None:
    """Use the processor for so many seconds of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_stages_of_all_threads_are_added_up_and_waiting_does_not_count():
    times = StageTimes()

    def run():
        with times.thread():
            work(0.02)
            with times.stage("decode"):
                work(0.03)
                time.sleep(0.1)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with times.stage("store"):
        work(0.05)
    timing = times.timing()
    assert timing.stages["decode"] == pytest.approx(0.06, abs=0.01)
    assert timing.stages["store"] == pytest.approx(0.05, abs=0.01)
    assert set(timing.stages) == {"decode", "store"}
    assert timing.cpu >= 0.15 and timing.wall >= 0.15
    assert timing.work_ratio == pytest.approx(0.11 / timing.cpu, abs=0.1)


def test_threads_of_a_runtime_count_as_the_network():
    times = StageTimes()
    with times.stage("network"):
        thread = threading.Thread(target=work, args=(0.05,))
        thread.start()
        thread.join()
    assert times.timing().stages["network"] >= 0.05


def test_ratios():
    timing = Timing({"decode": 1.0, "network": 2.0}, cpu=4.0, wall=2.5, cores=2)
    assert (timing.utilisation, timing.work_ratio) == (0.8, 0.75)
    assert timing.to_json() == {
        "stages": {"decode": 1.0, "network": 2.0},
        "cpu": 4.0,
        "wall": 2.5,
        "cores": 2,
        "utilisation": 0.8,
        "work_ratio": 0.75,
    }


def test_index_says_what_its_time_went_to(tiny, zoo, tmp_path):
    timing = index(zoo, tmp_path / "lib", models=["colours.tiny", "loudness.tiny"], host=tiny).timing
    assert set(timing.stages) == {"load", "scan", "decode", "preprocess", "network", "store"}
    assert 0 < sum(timing.stages.values()) <= timing.cpu * 1.05
    again = index(zoo, tmp_path / "lib", models=["colours.tiny", "loudness.tiny"], host=tiny).timing
    assert not {"decode", "network"} & set(again.stages), "nothing was embedded"


def test_the_command_prints_a_table_of_stages(install, command, zoo, tmp_path):
    install("tiny")
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny")
    lines = command(*words, "--timing").stdout.splitlines()
    (header,) = (i for i, line in enumerate(lines) if line.split() == ["stage", "CPU", "seconds", "%"])
    names = [line.split()[0] for line in lines[header + 1 : -1]]
    assert names == ["load", "scan", "decode", "preprocess", "network", "store", "between", "all"]
    assert lines[-1].startswith("utilisation 0.") and "work ratio 0." in lines[-1]
    timing = json.loads(command(*words, "--json").stdout)["timing"]
    assert {"stages", "cpu", "wall", "cores", "utilisation", "work_ratio"} == set(timing)
