"""Each of the 168 unusual or broken files of the shared data gives pixels, samples, or one clear line."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

CHUNK = 28
"""Files for one process, so that the memory of a file is not hidden behind that of many before it."""

REFUSED = {
    "audio/mutagen-lame397v9short.mp3": "a header without a sample behind it",
    "audio/syn-nan.wav": "NaN among the samples",
    "audio/syn-allnan.wav": "nothing but NaN",
    "audio/bad-rate-huge.wav": "a sample rate of 2 GHz",
}
"""Files that libsndfile opens but sightsound refuses, and why."""

EMPTY = {"audio/pydub-test1_empty.wav", "audio/syn-len-0samples.wav"}
"""Valid sounds without samples."""

NEEDS_PYAV = {
    "audio/hound-crash-e5471f5b58397287b509db7d026e95f1724454f5.wav",
    "audio/mutagen-5644800-2ch-s01-silence.dsf",
    "audio/mutagen-alac.m4a",
    "audio/mutagen-click.mpc",
    "audio/mutagen-dsd.wv",
    "audio/mutagen-empty.tta",
    "audio/mutagen-has-tags.m4a",
    "audio/mutagen-mac-396.ape",
    "audio/mutagen-multiplexed.spx",
    "audio/mutagen-no-tags.m4a",
    "audio/mutagen-no_length.wv",
    "audio/mutagen-silence-1.wma",
    "audio/mutagen-silence-44-s.wv",
    "audio/pydub-creative_common.mp4",
    "audio/pydub-test5.webm",
}
"""Files that libsndfile does not read but PyAV does."""

PROGRAM = """
import json, signal, sys
from sightsound import MediaError
from sightsound.media import identify, open_sound, read_image

def outcome(path):
    try:
        if identify(path) == "image":
            picture = read_image(path)
            return {"kind": "image", "shape": picture.pixels.shape, "dtype": str(picture.pixels.dtype), **picture.facts}
        with open_sound(path) as sound:
            samples = sum(map(len, sound.pieces(16000)))
            return {"kind": "sound", "samples": samples, "seconds": sound.seconds, **sound.facts}
    except MediaError as error:
        return {"kind": type(error).__name__, "line": str(error)}

for path in json.load(sys.stdin):
    signal.alarm(10)  # ends the process: a Python handler would wait for a decoder in C
    print(json.dumps({"path": path, **outcome(path)}), flush=True)
    signal.alarm(0)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"peak": peak}))
"""


def outcomes_and_peak(folder: Path, paths: list[str]) -> tuple[dict[str, dict], int]:
    """What became of each file, and the peak memory in KiB."""
    names = json.dumps([str(folder / path) for path in paths])
    run = subprocess.run([sys.executable, "-c", PROGRAM], input=names, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"{paths[len(rows)]} ended the process: {run.returncode} {run.stderr[-500:]}"
    *outcomes, last = rows
    return dict(zip(paths, outcomes, strict=True)), last["peak"]


@pytest.fixture(scope="module")
def pyav() -> bool:
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets an alarm")
@pytest.mark.parametrize("chunk", range(6))
def test_every_odd_file_ends_in_media_or_in_one_clear_line(shared: Path, chunk: int, pyav: bool) -> None:
    folder = shared / "data/odd-media"
    with open(folder / "table.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * CHUNK
    table = {row["path"]: row["pillow13_or_soundfile0.14_result"] for row in rows}
    mine = list(table)[CHUNK * chunk : CHUNK * (chunk + 1)]
    outcomes, peak = outcomes_and_peak(folder, mine)
    assert peak < 2**20  # KiB
    for path, found in outcomes.items():
        opens = table[path].startswith("ok") and path not in REFUSED
        if opens or (pyav and path in NEEDS_PYAV):
            _is_media(path, found, table[path])
        else:
            _is_one_line(folder / path, found)


def _is_media(path: str, found: dict, table: str) -> None:
    assert found["kind"] == path.split("/")[0].replace("audio", "sound"), found
    if found["kind"] == "image":
        assert found["shape"] == [found["height"], found["width"], 3] and found["dtype"] == "uint8"
        assert found["format"] in table and f"frames={found['frames']}" in table
        return
    assert (found["samples"] > 0) == (path not in EMPTY)
    assert found["samples"] == pytest.approx(found["seconds"] * 16000, abs=1)
    if "read=" in table:
        frames = int(table.rsplit("read=", 1)[1])
        assert round(found["seconds"] * found["sample_rate"]) == frames


def _is_one_line(path: Path, found: dict) -> None:
    assert found["kind"] in ("MediaError", "NotMedia"), found
    assert found["line"].startswith(f"{path}: ") and "; " in found["line"] and "\n" not in found["line"]
    assert len(found["line"]) < len(str(path)) + 200
