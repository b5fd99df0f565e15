"""Recordings that are shorter than their header says are told from those that are whole."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from made import write_sound
from pipeline_runs import outcomes_of
from sampling import sampled
from sightsound import MediaError
from sightsound.media import open_sound
from sightsound.media.completeness import is_cut
from sightsound.media.decoders import Arrays
from sightsound.media.kinds import kind_of

WITH_LENGTHS = ("WAV", "WAVEX", "RF64", "W64", "OGG", "MP3", "AIFF", "AU", "SVX", "VOC", "NIST", "AVR")
OTHERS = ("FLAC", "IRCAM", "PVF", "PAF", "CAF")


def recording(path: Path, format: str = "WAV", seconds: float = 10, rate: int = 16000, **options: object) -> Path:
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(rate * seconds))
    with path.open("wb") as file, soundfile.SoundFile(file, "w", rate, 1, format=format, **options) as out:
        for at in range(0, len(samples), 2**14):  # libvorbis crashes on very long blocks
            out.write(samples[at : at + 2**14])
    return path


def cut(path: Path, part: float) -> Path:
    os.truncate(path, int(path.stat().st_size * part))
    return path


def truncated(path: Path) -> bool:
    with open_sound(path) as sound:
        assert not sound.truncated, "not known yet"
        assert sum(map(len, sound.pieces(sound.sample_rate)))
        found = sound.truncated
        again = sum(map(len, sound.pieces(sound.sample_rate)))  # looking at the file spoils nothing
        assert (again, sound.truncated) == (round(sound.seconds * sound.sample_rate), found)
    return found


@pytest.mark.parametrize("format", WITH_LENGTHS)
def test_a_recording_that_is_cut_is_told_from_a_whole_one(tmp_path: Path, format: str) -> None:
    path = recording(tmp_path / "a", format)
    assert not truncated(path)
    assert truncated(cut(path, 0.9))
    assert truncated(cut(path, 0.5))


@pytest.mark.parametrize("format", OTHERS)
@pytest.mark.parametrize("seconds", [0.01, 1, 3])
def test_no_whole_recording_counts_as_cut(tmp_path: Path, format: str, seconds: float) -> None:
    assert not truncated(recording(tmp_path / "a", format, seconds))


@pytest.mark.parametrize("format", WITH_LENGTHS)
@pytest.mark.parametrize(("seconds", "rate"), [(0.05, 8000), (0.3, 44100), (1, 48000), (20, 16000)])
def test_no_whole_recording_of_a_length_that_is_known_counts_as_cut(
    tmp_path: Path, format: str, seconds: float, rate: int
) -> None:
    assert not truncated(recording(tmp_path / "a", format, seconds, rate))


@pytest.mark.parametrize("rate", sampled((8000, 16000, 24000, 48000), 8000, 48000))
def test_opus_counts_at_48_khz(tmp_path: Path, rate: int) -> None:
    path = recording(tmp_path / "a.opus", "OGG", 5, rate, subtype="OPUS")
    assert not truncated(path)
    assert truncated(cut(path, 0.7))


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_whose_length_was_not_known_is_not_cut(tmp_path: Path, size: int) -> None:
    path = recording(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    path.write_bytes(content)
    with open_sound(path) as sound:
        try:
            decoded = sum(map(len, sound.pieces(16000)))
        except MediaError:
            decoded = 0  # libsndfile takes a length of 0 at its word
        assert not sound.truncated
    assert decoded == 160_000 or size == 0


@pytest.mark.parametrize("seconds", [0.5, 3, 40])
def test_several_ogg_files_in_one_are_flagged(tmp_path: Path, seconds: float) -> None:
    """Decoders stop after the first of them."""
    one = recording(tmp_path / "one.ogg", "OGG", seconds).read_bytes()
    other = bytearray(one)
    serial = one[14:18]
    at = 0
    while (at := other.find(b"OggS", at)) >= 0:
        assert other[at + 14 : at + 18] == serial
        other[at + 14 : at + 18] = b"\1\2\3\4"
        at += 4
    for more in (bytes(other), bytes(other) * 5, one):
        (tmp_path / "many.ogg").write_bytes(one + more)
        assert truncated(tmp_path / "many.ogg")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize(("seconds", "hole"), sampled(((10, 6000), (30, 3000), (30, 1)), (10, 6000)))
def test_an_ogg_with_a_hole_is_flagged(tmp_path: Path, subtype: str, seconds: float, hole: int) -> None:
    """A decoder leaves out a page that is damaged, and the seconds after it are wrong."""
    path = recording(tmp_path / "a.ogg", "OGG", seconds, subtype=subtype)
    assert not truncated(path)
    content = bytearray(path.read_bytes())
    middle = content.index(b"OggS", len(content) // 2) + 300  # in the middle of a page
    content[middle : middle + hole] = bytes(byte ^ 255 for byte in content[middle : middle + hole])
    path.write_bytes(content)
    with open_sound(path) as sound:
        assert 0.5 * seconds < sum(map(len, sound.pieces(16000))) / 16000 < seconds - 0.2
        assert sound.truncated


@pytest.mark.parametrize("seconds", [1, 10])
@pytest.mark.parametrize(
    ("codec", "container"),
    [("pcm_s16le", "matroska"), ("libopus", "webm"), ("pcm_s16le", "avi"), ("pcm_s16le", "mov"), ("pcm_s16le", "caf")],
)
def test_a_film_or_a_file_of_pyav_that_is_cut_is_told_from_a_whole_one(
    tmp_path: Path, codec: str, container: str, seconds: float
) -> None:
    path = film(tmp_path / "a", codec, container, seconds)
    assert not truncated(path) and not truncated(film(tmp_path / "short", codec, container, 0.1))
    cut(path, 0.8)
    if container == "mov":  # its index is at the end
        with pytest.raises(MediaError, match="a: cannot read audio \\(MPEG-4\\)"):
            open_sound(path)
    else:
        assert truncated(path)


def film(path: Path, codec: str, container: str, seconds: float) -> Path:
    import av

    samples = 0.1 * np.random.default_rng(0).standard_normal((1, round(48_000 * seconds))).astype(np.float32)
    with path.open("wb") as file, av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        form, size = stream.codec_context.format.name, stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=form, layout="mono", rate=48_000, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            out.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("format", sampled(("WAV", "MP3", "OGG"), "WAV", "OGG"))
def test_seconds_that_a_long_recording_lacks_are_noticed(tmp_path: Path, format: str) -> None:
    """One hundredth of a long recording is much."""
    path = recording(tmp_path / "a", format, 400, 8000)
    assert not truncated(path)
    assert truncated(cut(path, 0.993))


def test_a_recording_that_starts_in_the_middle_of_a_broadcast_is_whole(tmp_path: Path) -> None:
    """Its pages count from the beginning of the broadcast. The checksum of a page is over all its bytes."""
    path = recording(tmp_path / "a.ogg", "OGG", 10)
    content = bytearray(path.read_bytes())
    at = 0
    while (at := content.find(b"OggS", at)) >= 0:
        granule = struct.unpack_from("<q", content, at + 6)[0]
        segments = content[at + 26]
        end = at + 27 + segments + sum(content[at + 27 : at + 27 + segments])
        if granule > 0:
            struct.pack_into("<q", content, at + 6, granule + 3600 * 16000)
            content[at + 22 : at + 26] = bytes(4)
            struct.pack_into("<I", content, at + 22, ogg_checksum(content[at:end]))
        at = end
    path.write_bytes(content)
    assert not truncated(path)


def ogg_checksum(page: bytes) -> int:
    """CRC-32 of RFC 3533: polynomial 0x04c11db7, neither reflected nor inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ 0x104C11DB7 if crc & 0x80000000 else crc << 1
    return crc & 0xFFFFFFFF


def test_the_outcome_of_a_cut_recording_is_flagged(tiny, tmp_path: Path) -> None:
    whole, half = write_sound(tmp_path / "whole.wav", 1, seconds=5), write_sound(tmp_path / "half.wav", 1, seconds=5)
    cut(half, 0.5)
    found = outcomes_of(tiny.load("loudness.tiny"), [whole, half])
    assert (found["whole.wav"].status, found["half.wav"].status) == ("ok", "ok")
    assert "truncated" not in found["whole.wav"].flags
    assert "truncated" in found["half.wav"].flags


@pytest.mark.parametrize("format", WITH_LENGTHS)
def test_damage_that_a_decoder_does_not_mind_is_no_error(tmp_path: Path, format: str) -> None:
    random = np.random.default_rng(3)
    path = recording(tmp_path / "a", format, 0.2)
    with open_sound(path) as sound:
        decoder = sound._decoder
        kind = kind_of(path.read_bytes()[:512])
        for _ in range(100):
            content = bytearray(path.read_bytes())
            at = int(random.integers(0, 120))
            content[at : at + 9] = random.choice([0, 1, 127, 128, 255], 9).astype(np.uint8).tobytes()
            (tmp_path / "b").write_bytes(content)
            with io.FileIO(tmp_path / "b") as file:
                assert is_cut(file, kind.name, decoder) in (False, True)


def test_a_header_with_a_length_beyond_all_files_is_no_error(tmp_path: Path) -> None:
    path = recording(tmp_path / "a", "W64")
    content = bytearray(path.read_bytes())
    content[40 + 16 : 40 + 24] = b"\xff" * 8
    path.write_bytes(content)
    with io.FileIO(path) as file:
        assert not is_cut(file, "Wave64", Arrays([], 16000))
