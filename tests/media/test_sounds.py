"""Every kind of sound becomes mono float32 at the rate asked for, piece by piece as in one go.

The oracle reads the whole file with soundfile in one call and resamples it with soxr in one call.
"""

import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightsound import MediaError, NotMedia
from sightsound.media import decoders, identify, open_sound, read_sound, samples, sounds, stream_sound

PCM = [("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")]
PACKED = [("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")]
OTHER = [("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "ALAC_16"), ("RF64", "PCM_16")]
FORMATS = [*PCM, *PACKED, *OTHER]


def noise(frames: int, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(frames).standard_normal((frames, channels))).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> Path:
    with open(path, "wb") as file:
        soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return path


def whole(path: Path, rate: int) -> np.ndarray:
    with soundfile.SoundFile(path) as file:  # soundfile.read seeks first, which changes the last bit of some MP3
        samples, source = file.read(dtype="float32", always_2d=True), file.samplerate
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0].copy()
    return mono if source == rate else soxr.resample(mono, source, rate, "HQ")


def pieces(path: Path, rate: int, **cut: float) -> np.ndarray:
    with open_sound(path) as sound:
        return np.concatenate([np.empty(0, np.float32), *sound.pieces(rate, **cut)])


@pytest.mark.parametrize(("format", "subtype"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_are_bit_for_bit_what_one_go_gives(
    tmp_path: Path, format: str, subtype: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a", noise(100_000, channels), 44100, format, subtype)
    monkeypatch.setattr(sounds, "PIECE_SAMPLES", 5000)
    monkeypatch.setattr(decoders, "FRAMES_PER_READ", 777)
    for rate in (16000, 44100, 48000):
        np.testing.assert_array_equal(pieces(path, rate), whole(path, rate))


def test_pieces_of_opus_are_nearly_what_one_go_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a", noise(100_000, 2), 48000, "OGG", "OPUS")
    monkeypatch.setattr(sounds, "PIECE_SAMPLES", 5000)
    np.testing.assert_allclose(pieces(path, 16000), whole(path, 16000), atol=1e-3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    format=st.sampled_from([("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")]),
    channels=st.integers(1, 2),
    block=st.integers(1, 60_000),
    step=st.integers(100, 20_000),
    rate=st.sampled_from([8000, 16000, 22050, 32000, 44100]),
)
def test_a_cut_is_the_slice_of_the_whole_whatever_the_pieces(
    tmp_path: Path, data: st.DataObject, format: tuple[str, str], channels: int, block: int, step: int, rate: int
) -> None:
    path = tmp_path / f"{format[0]}{channels}"
    if not path.exists():
        written(path, noise(50_000, channels), 22050, *format)
    expected = whole(path, rate)
    start = data.draw(st.floats(0, 3), "start")
    stop = data.draw(st.none() | st.floats(start, 3.5), "stop")
    end = len(expected) if stop is None else round(stop * rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sounds, "PIECE_SAMPLES", max(block, 200))
        patch.setattr(decoders, "FRAMES_PER_READ", step)
        got = pieces(path, rate, start=start, stop=stop)
    np.testing.assert_array_equal(got, expected[round(start * rate) : end])


@pytest.mark.parametrize(
    ("start", "stop"), [(-1, 2), (2, 1), (float("nan"), None), (float("inf"), None), (0, float("nan"))]
)
def test_an_impossible_cut_is_refused(tmp_path: Path, start: float, stop: float | None) -> None:
    path = written(tmp_path / "a.wav", noise(100), 8000)
    with pytest.raises(MediaError) as caught:
        pieces(path, 8000, start=start, stop=stop)
    assert str(caught.value) == f"{path}: from {start} to {stop} s, expected 0 <= start <= stop; correct it"


def test_decoding_ends_when_stop_is_reached(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", np.zeros(8000 * 600, np.int16), 8000)
    with open_sound(path) as sound:
        assert sum(map(len, sound.pieces(16000, start=1, stop=2))) == 16000
        assert sound.seconds < 40
        assert list(sound.pieces(16000, start=5, stop=5)) == []
        assert sum(map(len, sound.pieces(16000))) == 600 * 16000
        assert sound.seconds == 600


def test_pieces_begin_anew_at_each_call_even_after_one_that_was_left(tmp_path: Path) -> None:
    for format in ("WAV", "MP3", "OGG"):
        path = written(tmp_path / format, noise(900_000), 44100, format)
        expected = whole(path, 16000)
        with open_sound(path) as sound:
            next(sound.pieces(16000))
            for _ in range(2):
                np.testing.assert_array_equal(np.concatenate(list(sound.pieces(16000))), expected)
                assert sound.seconds == soundfile.info(path).duration


@pytest.mark.parametrize("channels", [2, 3, 8, 64])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    samples = noise(3000, channels)
    path = written(tmp_path / "a.wav", samples, 16000, "WAV", "FLOAT")
    np.testing.assert_allclose(read_sound(path, 16000), samples.astype(float).mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("channels", range(1, 12))
def test_the_mean_is_bit_for_bit_that_of_numpy(channels: int) -> None:
    frames = noise(5000, channels)
    assert np.array_equal(samples.to_mono(frames, None), frames.mean(axis=1))


@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU", "CAF", "W64", "FLAC"])
def test_every_number_of_16_bits_is_read_as_libsndfile_scales_it(tmp_path: Path, format: str) -> None:
    path = written(tmp_path / "a", np.arange(-(2**15), 2**15).astype(np.int16), 8000, format, "PCM_16")
    assert np.array_equal(pieces(path, 8000), np.arange(-(2**15), 2**15, dtype=np.float32) / 2**15)
    assert np.array_equal(pieces(path, 8000), whole(path, 8000))


def test_a_program_may_fill_the_same_array_again() -> None:
    expected, buffer = noise(4000)[:, 0], np.empty(500, np.float32)

    def blocks() -> Iterator[np.ndarray]:
        for part in expected.reshape(-1, 500):
            buffer[:] = part
            yield buffer

    found = list(stream_sound(blocks(), 8000).pieces(8000))
    assert np.array_equal(np.concatenate(found), expected)


def test_channels_of_opposite_phase_cancel(tmp_path: Path) -> None:
    tone = noise(8000)[:, 0]
    path = written(tmp_path / "a.wav", np.stack([tone, -tone], axis=1), 16000, "WAV", "FLOAT")
    assert not read_sound(path, 16000).any()


def test_nothing_is_clipped(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", np.array([3.0, -70000.0, 1e9], np.float32), 16000, "WAV", "FLOAT")
    assert read_sound(path, 16000).tolist() == [3.0, -70000.0, 1e9]


def test_what_was_decoded_counts_and_not_the_header(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "a.wav", noise(16000), 16000).read_bytes())
    for promise in (2**31, 2**32 - 1):
        content[40:44] = struct.pack("<I", promise)
        (tmp_path / "b.wav").write_bytes(content)
        with open_sound(tmp_path / "b.wav") as sound:
            assert sum(map(len, sound.pieces(16000))) == 16000
            assert sound.seconds == 1


def test_an_mp3_that_ends_before_its_header_says_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp3", noise(200_000), 44100, "MP3")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_sound(path) as sound:
        samples = np.concatenate(list(sound.pieces(44100)))
        assert 1.5 < sound.seconds < 2.5 and len(samples) == round(sound.seconds * 44100)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sample_that_is_not_finite_is_an_error_that_says_when(tmp_path: Path, bad: float, channels: int) -> None:
    samples = noise(400_000, channels)
    samples[300_000, -1] = bad
    path = written(tmp_path / "a.wav", samples, 16000, "WAV", "FLOAT")
    with open_sound(path) as sound, pytest.raises(MediaError) as caught:
        list(sound.pieces(8000))
    assert str(caught.value).startswith(f"{path}: the sample at second 18.750 is ")
    assert str(caught.value).endswith(", expected numbers about -1 to 1; repair it, or cut it there")
    assert len(pieces(path, 8000, stop=10)) == 80000  # before it


def test_opposite_infinities_are_an_error_without_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", np.array([[np.inf, -np.inf]], np.float32), 16000, "WAV", "FLOAT")
    code = f"from sightsound.media import read_sound; read_sound({str(path)!r}, 16000)"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert "the sample at second 0.000 is nan" in run.stderr


def test_a_decoder_that_fails_in_the_middle_says_how_far_it_came(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", noise(480_000), 16000, "FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_sound(path) as sound, pytest.raises(MediaError) as caught:
        list(sound.pieces(16000))
    assert 13 < sound.seconds < 15.5
    why = f"cannot decode beyond second {sound.seconds:.2f}, flac decoder lost sync"
    assert str(caught.value) == f"{path}: {why}; copy it anew, or cut it there"


def test_a_sound_without_samples_is_empty_and_no_error(tmp_path: Path) -> None:
    for format in ("WAV", "AU", "AIFF"):
        path = written(tmp_path / format, np.empty(0, np.float32), 16000, format)
        assert identify(path) == "sound"
        assert read_sound(path, 8000).shape == (0,)
        with open_sound(path) as sound:
            assert list(sound.pieces(16000)) == []
            assert sound.seconds == 0


def test_a_header_with_nothing_behind_it_is_told_apart_from_an_empty_sound(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp3", noise(44100), 44100, "MP3")
    path.write_bytes(path.read_bytes()[:418])  # the frame that carries the header and no sound
    with pytest.raises(
        MediaError, match=r"no sample behind the header \(MP3\), it is cut off; copy|nothing behind the"
    ):
        read_sound(path, 16000)


def test_a_single_sample_is_a_sound(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", np.array([0.5], np.float32), 16000, "WAV", "FLOAT")
    assert read_sound(path, 16000).tolist() == [0.5]
    assert len(read_sound(path, 48000)) == 3


@pytest.mark.parametrize(("source", "target"), [(1000, 48000), (768000, 8000), (11025, 16000), (44100, 22050)])
def test_extreme_ratios_stay_in_bounded_pieces(tmp_path: Path, source: int, target: int) -> None:
    path = written(tmp_path / "a.wav", noise(min(source * 40, 2_000_000)), source)
    with open_sound(path) as sound:
        parts = list(sound.pieces(target))
    assert max(map(len, parts)) <= sounds.PIECE_SAMPLES + 2**14
    np.testing.assert_array_equal(np.concatenate(parts), whole(path, target))


def test_threads_do_not_mix_sounds(tmp_path: Path) -> None:
    formats = ("WAV", "MP3", "OGG", "FLAC")
    paths = [written(tmp_path / f"{n}.{f}", noise(30_000 + n), 44100, f) for n in range(6) for f in formats]
    expected = [whole(path, 16000) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for got, one in zip(pool.map(lambda path: read_sound(path, 16000), paths * 3), expected * 3, strict=True):
            np.testing.assert_array_equal(got, one)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_hours_take_no_more_memory_than_one_minute(tmp_path: Path) -> None:
    peaks = []
    for seconds in (60, 7_200):
        size = 2 * 8000 * seconds
        header = struct.pack(
            "<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", size
        )
        with open(tmp_path / "long.wav", "wb") as file:
            file.write(header)
            file.truncate(len(header) + size)  # silence that takes no room on the disk
        code = """
import sys
from sightsound.media import open_sound
with open_sound(sys.argv[1]) as sound:
    assert sum(map(len, sound.pieces(16000))) == int(sys.argv[2]) * 16000
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
        command = [sys.executable, "-c", code, str(tmp_path / "long.wav"), str(seconds)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 20 * 1024  # KiB; measured: 2 MiB


# What libsndfile does not know: PyAV


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.chdir(tmp_path)
    heads = {
        "growl.m4a": (b"\0\0\0\x18ftypM4A \0\0\0\0", "MPEG-4"),
        "film.mp4": (b"\0\0\0\x18ftypisom\0\0\0\0", "MPEG-4"),
        "a.webm": (b"\x1aE\xdf\xa3\1\0\0\0", "Matroska/WebM"),
        "a.wma": (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel", "Windows Media"),
        "a.wv": (b"wvpk", "WavPack"),
    }
    for name, (head, kind) in heads.items():
        Path(name).write_bytes(head + bytes(100))
        assert identify(Path(name)) == "sound"
        with pytest.raises(MediaError) as caught:
            open_sound(Path(name))
        assert str(caught.value) == f"{name}: cannot read audio ({kind}); install sightsound[av] or convert it to WAV"


CODECS = [("mp4", "aac", 44100), ("adts", "aac", 44100), ("matroska", "libopus", 48000), ("webm", "libopus", 48000)]
CODECS += [("asf", "wmav2", 44100), ("wv", "wavpack", 44100), ("mp4", "alac", 44100), ("mov", "pcm_s16le", 44100)]
CODECS += [("avi", "libmp3lame", 44100), ("flv", "aac", 44100), ("mpegts", "aac", 44100), ("tta", "tta", 44100)]


def film(path: Path, format: str, codec: str | None, rate: int = 44100, picture: bool = False) -> np.ndarray:
    """Writes two seconds of a slow sweep, as a sound track (if there is a codec) beside a small film (or alone)."""
    av = pytest.importorskip("av")
    tone = (0.3 * np.sin(np.cumsum(np.linspace(0.01, 0.2, 2 * rate)))).astype(np.float32)
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo", bit_rate=128_000) if codec else None
        if picture:
            video = container.add_stream("mpeg4", rate=25)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for _ in range(50):
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
            container.mux(video.encode())
        if stream:
            resampler = av.AudioResampler(stream.format.name, "stereo", rate, stream.codec_context.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
            frame.sample_rate = rate
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode())
    return tone


@pytest.mark.parametrize(("format", "codec", "rate"), CODECS)
def test_pyav_reads_what_libsndfile_does_not_know(tmp_path: Path, format: str, codec: str, rate: int) -> None:
    path = tmp_path / "named.txt"
    tone = film(path, format, codec, rate)
    assert identify(path) == "sound"
    with open_sound(path) as sound:
        got = np.concatenate(list(sound.pieces(rate)))
        assert (sound.sample_rate, sound.channels, sound.facts["decoder"]) == (rate, 2, "ffmpeg")
        assert sound.seconds == pytest.approx(2, abs=0.1)
    spectra = np.fft.rfft(got, 2**18) * np.conj(np.fft.rfft(tone, 2**18))  # at any delay: codecs add and cut some
    assert np.fft.irfft(spectra).max() > 0.95 * np.linalg.norm(got) * np.linalg.norm(tone)


def test_the_integers_of_pyav_are_scaled_as_those_of_libsndfile(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    samples = np.array([[0, 16384, -32768, 32767]], np.int16)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert read_sound(tmp_path / "a.mov", 16000).tolist() == [0, 0.5, -1, 32767 / 32768]


def test_pieces_by_pyav_are_what_one_go_gives_and_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.m4a", "mp4", "aac")
    expected = read_sound(tmp_path / "a.m4a", 16000)
    monkeypatch.setattr(sounds, "PIECE_SAMPLES", 3000)
    with open_sound(tmp_path / "a.m4a") as sound:
        next(sound.pieces(16000))
        np.testing.assert_array_equal(np.concatenate(list(sound.pieces(16000))), expected)
    np.testing.assert_array_equal(pieces(tmp_path / "a.m4a", 16000, start=0.5, stop=1.25), expected[8000:20000])


def test_a_film_with_a_sound_track_is_a_sound_and_one_without_is_no_media(tmp_path: Path) -> None:
    film(tmp_path / "talkie.mp4", "mp4", "aac", picture=True)
    assert identify(tmp_path / "talkie.mp4") == "sound"
    assert len(read_sound(tmp_path / "talkie.mp4", 16000)) == pytest.approx(32000, abs=1600)
    film(tmp_path / "silent.mp4", "mp4", None, picture=True)
    with pytest.raises(NotMedia, match=r"silent\.mp4: MPEG-4 without a sound track that can be read; convert"):
        identify(tmp_path / "silent.mp4")
    with pytest.raises(NotMedia, match=r"silent\.mp4: MPEG-4 without a sound track; leave it out"):
        open_sound(tmp_path / "silent.mp4")


def test_a_file_that_points_far_outside_itself_is_one_error_and_prints_nothing(tmp_path: Path, capfd) -> None:
    """ffmpeg asks for that position, and PyAV would print the traceback of the error."""
    pytest.importorskip("av")
    file = tmp_path / "a.caf"
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, (800, 2)), 8000, "PCM_S8")
    data = bytearray(file.read_bytes())
    start = data.index(b"data")
    data[start:start] = bytes(2)  # so that a part of "data" is read as the size of a chunk
    file.write_bytes(data)
    with pytest.raises(MediaError, match="a.caf: cannot read audio"):
        read_sound(file, 8000)
    assert capfd.readouterr().err == ""


def test_a_file_of_very_many_empty_chunks_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    from sightsound.media import ffmpeg

    sources: list[ffmpeg._Source] = []
    plain = ffmpeg._Source
    monkeypatch.setattr(ffmpeg, "_Source", lambda file: sources.append(plain(file)) or sources[-1])
    with open(tmp_path / "a.wav", "wb") as file:
        file.write(b"RIFF\0\0\0\0WAVE")
        file.truncate(10_000_000)
    with pytest.raises(MediaError, match=r"a\.wav: cannot read audio \(WAV\)"):
        read_sound(tmp_path / "a.wav", 8000)
    (source,) = sources
    assert 100_000 < source.seeks < 200_000


def test_pyav_opens_no_other_file_that_a_file_names(tmp_path: Path) -> None:
    pytest.importorskip("av")
    written(tmp_path / "secret.wav", noise(16000), 16000)
    lists = [b"ffconcat version 1.0\nfile secret.wav\n", b"#EXTM3U\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n"]
    for n, content in enumerate(lists):
        for disguise in (b"", b"ID3\3\0\0\0\0\0\0"):
            path = tmp_path / f"list{n}.m4a"
            path.write_bytes(disguise + content)
            with pytest.raises(MediaError):
                read_sound(path, 16000)


def test_a_damaged_film_is_one_line(tmp_path: Path) -> None:
    film(tmp_path / "a.m4a", "mp4", "aac")
    content = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "b.m4a").write_bytes(content[:60])
    with pytest.raises(
        MediaError, match=r"b\.m4a: cannot read audio \(MPEG-4\), .*; copy it anew, or convert it to WAV"
    ):
        open_sound(tmp_path / "b.m4a")
