"""Thresholds of near-duplicates, measured on altered copies of the files of a library."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

import made
from library_files import raw_database
from sightsound import (
    Host,
    Library,
    LibraryError,
    MediaError,
    SightsoundError,
    UnknownModel,
    calibrate_duplicates,
    check,
    copy_library,
    find_duplicates,
    index,
)
from sightsound.contract.arrays import unit_rows
from sightsound.library.duplicates import alterations, calibrate
from sightsound.library.duplicates.alterations import ORIGINAL, altered_copies
from sightsound.library.duplicates.calibrate import best_threshold
from sightsound.library.duplicates.rows import ArrayRows
from sightsound.media import read_image, read_sound

IMAGES = ("JPEG 50", "JPEG 75", "resized to 1/2", "cropped by 5 %", "cropped by 10 %")
SOUNDS = ("noise at 20 dB", "gain of -6 dB", "MP3 of 64 kbit/s", "shifted by 0.1 s")


@pytest.fixture
def library(tiny, tmp_path):
    """A library of twelve images of random colours, and of eight recordings."""
    for seed in range(12):
        colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        (tmp_path / "media").mkdir(exist_ok=True)
        Image.fromarray(colours.repeat(20, axis=0).repeat(20, axis=1)).save(tmp_path / "media" / f"{seed}.png")
    for seed in range(8):
        made.write_sound(tmp_path / "media" / f"{seed}.wav", seed, seconds=4)
    index(tmp_path / "media", tmp_path / "lib", models=["colours.tiny", "loudness.tiny"], host=tiny)
    return tmp_path / "lib"


def test_thresholds_are_measured_stored_and_used(tiny, library, tmp_path, command):
    images, sounds = calibrate_duplicates(library, files=6, host=tiny)
    assert (images.space, images.files, images.windows, images.skipped) == ("colours.tiny", 6, None, ())
    assert tuple(images.items.recall) == IMAGES and tuple(sounds.items.recall) == SOUNDS
    assert sounds.windows is not None and tuple(sounds.windows.recall) == SOUNDS
    assert images.items.false == 0 and all(value >= 0.75 for value in images.items.recall.values())
    found = find_duplicates(library)
    assert [each.threshold for each in found] == [images.items.threshold, sounds.items.threshold]
    assert found[0].calibration.items == images.items and not found[0].given
    assert find_duplicates(library, windows=True)[0].threshold == sounds.windows.threshold
    assert find_duplicates(library, threshold=0.5)[0].calibration is None
    shown = command("duplicates", "-l", library, "--space", "colours.tiny").stdout
    assert f"threshold {images.items.threshold:.4f} (calibrated on 6 files; recall: JPEG 50 1.00, " in shown
    assert not check(library)
    copy_library(library, tmp_path / "copy")
    assert find_duplicates(tmp_path / "copy")[0].threshold == images.items.threshold, "it goes with a copy"


def test_the_same_files_and_numbers_every_time(tiny, library):
    first = calibrate_duplicates(library, "colours.tiny", files=5, seed=3, host=tiny)
    assert calibrate_duplicates(library, "colours.tiny", files=5, seed=3, host=tiny) == first
    assert calibrate_duplicates(library, "colours.tiny", files=5, seed=4, host=tiny) != first


def test_a_copy_among_the_files_is_found_with_the_measured_threshold(tiny, library, tmp_path):
    Image.open(tmp_path / "media" / "3.png").save(tmp_path / "media" / "copy.jpg", quality=60)
    index(tmp_path / "media", library, models=["colours.tiny"], host=tiny)
    calibrate_duplicates(library, "colours.tiny", host=tiny)
    (found,) = find_duplicates(library, "colours.tiny")
    assert [str(group) for group in found] == ["3.png = copy.jpg"]


def test_the_command_prints_the_recall_of_each_alteration(library, command):
    done = command("duplicates", "-l", library, "--calibrate", "4")
    assert done.returncode == 0, done.stderr
    assert (
        all(name in done.stdout for name in (*IMAGES, *SOUNDS)) and "loudness.tiny, windows: threshold" in done.stdout
    )
    done = command("duplicates", "-l", library, "--json", "--calibrate", "4")
    images, sounds = json.loads(done.stdout)
    assert images["files"] == 4 and list(images["items"]["recall"]) == list(IMAGES) and images["windows"] is None
    assert sounds["windows"]["threshold"] > 0


def test_a_file_that_is_gone_or_silent_is_left_out_with_its_reason(tiny, library, tmp_path, command):
    (tmp_path / "media" / "3.png").unlink()
    soundfile.write(tmp_path / "media" / "silent.wav", np.zeros(4000, np.float32), made.RATE)
    index(tmp_path / "media" / "silent.wav", library, models=["loudness.tiny"], host=tiny)
    images, sounds = calibrate_duplicates(library, host=tiny)
    assert images.files == 11 and len(images.skipped) == 1 and "3.png" in images.skipped[0]
    assert sounds.files == 8 and "silent.wav: silent, or empty" in sounds.skipped[0]
    done = command("duplicates", "-l", library, "--calibrate")
    assert done.returncode == 0 and "left out: " in done.stderr and "silent.wav" in done.stderr
    for file in (tmp_path / "media").glob("*.png"):
        file.unlink()
    with pytest.raises(LibraryError, match=r"lib: none of 12 files could be altered; .*\.png: "):
        calibrate_duplicates(library, "colours.tiny", host=tiny)


def test_what_cannot_be_measured_is_refused(tiny, library):
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(SightsoundError, match="files: expected a whole number from 1"):
            calibrate_duplicates(library, files=wrong, host=tiny)
    with pytest.raises(UnknownModel):
        calibrate_duplicates(library, host=Host(installed=False))
    with Library(library) as opened, opened.writing(), pytest.raises(LibraryError, match="is writing to it"):
        calibrate_duplicates(library, host=tiny)


@pytest.mark.parametrize("value", ["", "[]", "{}", '{"files": 1, "items": {"threshold": 7, "recall": {}, "false": 0}}'])
def test_a_stored_threshold_that_cannot_be_is_reported_as_damage(tiny, library, command, value):
    calibrate_duplicates(library, "colours.tiny", files=2, host=tiny)
    with raw_database(library) as db:
        assert db.execute("UPDATE settings SET value = ? WHERE name LIKE 'duplicates %'", (value,)).rowcount == 1
    with pytest.raises(LibraryError, match=r"lib: damaged \(.*; run `sightsound check`"):
        find_duplicates(library, "colours.tiny")
    done = command("duplicates", "-l", library, "--space", "colours.tiny")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert len(find_duplicates(library, "colours.tiny", threshold=0.99)) == 1


def test_the_two_most_similar_rows_of_other_contents_are_found(monkeypatch):
    monkeypatch.setattr(calibrate, "_OTHERS", 7)
    vectors = unit_rows(np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32))
    contents = np.repeat(np.arange(20), 3)
    scores = vectors @ vectors.T
    scores[contents[:, None] == contents] = -1
    chosen = np.array([0, 5, 59])
    found = calibrate.nearest_others(ArrayRows(vectors, contents), chosen)
    assert found == pytest.approx(np.sort(scores[chosen], axis=1)[:, :-3:-1], abs=1e-6)
    alone = calibrate.nearest_others(ArrayRows(vectors[:3], contents[:3]), np.arange(3))
    assert (alone == -1).all()


def test_the_threshold_finds_copies_without_other_files():
    copies, others = np.linspace(0.9, 1, 101).astype(np.float32), np.linspace(0, 0.8, 100).astype(np.float32)
    assert best_threshold(copies, others, 0.02) == pytest.approx(0.902, abs=1e-3), "no lower than is needed"
    others = np.linspace(0, 0.95, 100).astype(np.float32)
    found = best_threshold(copies, others, 0.02)
    assert np.mean(others >= found) == pytest.approx(0.02) and found == pytest.approx(0.93, abs=0.01)
    assert best_threshold(copies, others, 0.25) == pytest.approx(0.902, abs=1e-3)
    others = np.ones(100, np.float32)
    assert np.mean(copies >= best_threshold(copies, others, 0.02)) == pytest.approx(0.25, abs=0.01), "all have a copy"
    assert best_threshold(-copies, others - 1, 0.02) == pytest.approx(0.01)


# -- the alterations -----------------------------------------------------------------------------------------------


def test_images_are_altered_as_stated(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    copies = dict(altered_copies(tmp_path / "a.png", "image", tmp_path, 0))
    assert list(copies) == [ORIGINAL, *IMAGES] and copies[ORIGINAL] == tmp_path / "a.png"
    sizes = [read_image(copies[name]).pixels.shape[:2] for name in IMAGES]
    assert sizes == [(100, 200), (100, 200), (50, 100), (96, 190), (90, 180)]
    assert (read_image(copies["cropped by 10 %"]).pixels == pixels[5:95, 10:190]).all()
    assert copies["JPEG 50"].stat().st_size < copies["JPEG 75"].stat().st_size
    Image.fromarray(pixels[:1, :1]).save(tmp_path / "dot.png")
    for name, file in altered_copies(tmp_path / "dot.png", "image", tmp_path, 0):
        assert read_image(file).pixels.shape == (1, 1, 3), name


@pytest.mark.parametrize("rate", [1600, 8000, 16000, 44100, 96000])
def test_recordings_are_altered_as_stated(tmp_path, monkeypatch, rate):
    monkeypatch.setattr(alterations, "EXCERPT", 5.0)
    random = np.random.default_rng(0)
    samples = (0.3 * np.sin(np.arange(6 * rate) * 0.2) + random.normal(0, 0.02, 6 * rate)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, samples], axis=1), rate, "FLOAT")
    copies = dict(altered_copies(tmp_path / "a.wav", "sound", tmp_path, 7))
    assert list(copies) == [ORIGINAL, *SOUNDS]
    original, noise, gain, _, shift = (read_sound(file, rate) for file in copies.values())
    assert (original == samples[: 5 * rate]).all(), "the beginning, mono"
    level = 10 * np.log10(np.mean(original**2) / np.mean((noise - original) ** 2))
    assert level == pytest.approx(20, abs=0.2)
    assert np.allclose(gain, original * 10 ** (-6 / 20), atol=1e-6)
    assert (shift == original[rate // 10 :]).all()
    with soundfile.SoundFile(copies["MP3 of 64 kbit/s"]) as file:
        assert file.format == "MP3" and file.samplerate == {1600: 8000, 96000: 48000}.get(rate, rate)
    kbits = copies["MP3 of 64 kbit/s"].stat().st_size * 8 / 5 / 1000
    assert kbits == pytest.approx(64, rel=0.08)


def test_a_recording_that_cannot_be_altered_says_why(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(1600, np.float32), 1600)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 1600)
    for name in ("silent.wav", "empty.wav"):
        with pytest.raises(MediaError, match=f"{name}: silent, or empty"):
            list(altered_copies(tmp_path / name, "sound", tmp_path, 0))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(MediaError, match=r"broken\.png: cannot read image"):
        list(altered_copies(tmp_path / "broken.png", "image", tmp_path, 0))
