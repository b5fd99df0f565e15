"""What a file is, by its content alone, and how files that cannot be opened are refused."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from sightsound import MediaError, NotMedia, media

PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "BMP", "ICO", "PPM", "MPO")
SOUNDS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
SOUNDS += ("SVX", "VOC", "NIST", "IRCAM", "PVF", "AVR", "PAF")


def picture(path: Path, format: str = "PNG", **options: object) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(path, format, **options)
    return path


def sound(path: Path, format: str = "WAV", seconds: float = 0.5, rate: int = 16000, **options: object) -> Path:
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(rate * seconds))
    with open(path, "wb") as file:
        soundfile.write(file, samples, rate, format=format, **options)
    return path


def refused(path: object, error: type[MediaError] = MediaError) -> str:
    """Return the error of `identify`; the other functions refuse the file too, each in one line."""
    for function in (media.open_sound, media.read_image, media.identify):
        with pytest.raises(error) as caught:
            function(path)
        assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("format", PICTURES)
@pytest.mark.parametrize("name", ["right", "wrong.wav", "wrong.txt"])
def test_an_image_is_known_by_its_content(tmp_path: Path, format: str, name: str) -> None:
    path = picture(tmp_path / name, format)
    assert media.identify(path) == "image"
    assert media.read_image(path).pixels.shape == (32, 32, 3)
    with pytest.raises(NotMedia, match="is not a sound; name a recording"):
        media.open_sound(path)


@pytest.mark.parametrize("format", SOUNDS)
@pytest.mark.parametrize("name", ["right", "wrong.png", "wrong.txt"])
def test_a_sound_is_known_by_its_content(tmp_path: Path, format: str, name: str) -> None:
    path = sound(tmp_path / name, format)
    assert media.identify(path) == "sound"
    assert len(media.read_sound(path, 16000)) > 7000
    with pytest.raises(NotMedia, match="is not an image; name an image"):
        media.read_image(path)


def test_each_format_of_libsndfile_is_known_or_left_out_on_purpose() -> None:
    left_out = {"RAW", "SD2", "MAT4", "MAT5", "HTK", "XI", "WVE", "SDS", "MPC2K"}
    assert set(soundfile.available_formats()) - set(SOUNDS) == left_out


@pytest.mark.parametrize("name", ["empty.wav", "empty.jpg", "empty"])
def test_an_empty_file_is_not_media(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert refused(tmp_path / name, NotMedia).endswith(
        f"{name}: an empty file, expected an image or a sound; copy it anew"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"this is not audio" * 50,
        b"<html></html>",
        b"\xff\xfe" + "UTF-16, begins like an MP3".encode("utf-16-le") * 30,
        b"BMW builds cars" * 40,
        b"P1 is where I park" * 40,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x93NUMPY\x01\x00",
        b"\x00" * 4096,
        bytes(np.random.default_rng(1).integers(0, 256, 4096, np.uint8)),
    ],
    ids=lambda content: repr(content[:12]),
)
@pytest.mark.parametrize("name", ["thing.wav", "thing.jpg"])
def test_other_content_is_not_media_whatever_the_name(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name)
    with pytest.raises(NotMedia, match="convert it to PNG or WAV, or leave it out"):
        media.identify(tmp_path / name)


def test_a_heic_image_names_the_package_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert media.identify(path) == "image"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MediaError, match=r"phone\.heic: HEIC .*; run `pip install sightsound\[heic\]`, or convert it"):
        media.read_image(path)


@pytest.mark.parametrize(
    "head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WAVE", b"fLaC", b"ID3\3"]
)
def test_a_damaged_file_is_still_what_its_first_bytes_say(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(head + b"\1" * 40)
    modality = media.identify(path)
    with pytest.raises(MediaError, match=r"cannot read (image|audio) "):
        media.read_image(path) if modality == "image" else media.read_sound(path, 16000)


def test_a_folder_a_pipe_a_socket_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tmp_path)  # the names of sockets must be short
    try:
        server.bind("socket")
    finally:
        os.chdir(here)
        server.close()
    lines: list[str] = []
    names = [tmp_path, tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")]
    thread = threading.Thread(target=lambda: lines.extend(map(refused, names)), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [line.split(": ", 1)[1] for line in lines] == [
        f"{what}, expected a file; name the files themselves"
        for what in ("a folder", "a named pipe", "a socket", "a device")
    ]


def test_a_missing_file_and_an_impossible_name_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "gone.wav"
    next_step = "check that it is there and may be read"
    assert refused(missing) == f"{missing}: cannot open, No such file or directory; {next_step}"
    assert "cannot open, embedded null" in refused("a\0b")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = picture(tmp_path / "secret.png")
    path.chmod(0)
    assert refused(path).endswith("cannot open, Permission denied; check that it is there and may be read")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file whose first bytes cannot be read")
def test_a_file_whose_first_bytes_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.png").symlink_to("/proc/self/mem")
    assert refused(tmp_path / "bad.png").endswith(
        "bad.png: cannot be read, Input/output error; copy it anew, or leave it out"
    )


def test_a_message_escapes_names_that_are_not_utf8_or_not_one_line(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[31m.wav"))
    path.write_bytes(b"nothing")
    line = refused(path, NotMedia)
    assert "/caf\\xe9\\n\\x1b[31m.wav: " in line
    line.encode("utf-8")  # can be printed


def test_names_that_are_not_utf8_are_opened(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    assert media.identify(picture(Path(os.fsdecode(folder + b"/\xff.png")))) == "image"
    assert len(media.read_sound(sound(Path(os.fsdecode(folder + b"/\xff.wav"))), 16000)) == 8000


def test_nothing_stays_open_after_an_error_or_after_the_end(tmp_path: Path) -> None:
    paths = [picture(tmp_path / "a.png"), sound(tmp_path / "b.wav"), tmp_path / "c.png", tmp_path / "d.wav", tmp_path]
    paths[2].write_bytes(paths[0].read_bytes()[:90])
    paths[3].write_bytes(b"RIFF\0\0\0\0WAVE")
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    if before is None:
        pytest.skip("needs /proc")
    for path in paths * 3:
        for function in (media.identify, media.read_image, lambda p: media.read_sound(p, 8000)):
            try:
                function(path)
            except MediaError as error:
                error.__traceback__ = None
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_media_imports_no_decoder() -> None:
    code = "import sys, sightsound.media; print([m for m in ('PIL', 'soundfile', 'soxr', 'av') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_files_cut_or_altered_anywhere_end_in_media_or_in_one_line(tmp_path: Path) -> None:
    """Some seeded mutants; a crash of a decoder would end the test run."""
    random = np.random.default_rng(3)
    whole = [picture(tmp_path / f"p.{f}", f).read_bytes() for f in ("PNG", "JPEG", "GIF", "BMP")]
    whole += [sound(tmp_path / f"s.{f}", f).read_bytes() for f in ("WAV", "AIFF", "AU")]
    path = tmp_path / "altered"
    for _ in range(300):
        content = bytearray(whole[random.integers(len(whole))])
        for _ in range(random.integers(1, 6)):
            content[random.integers(min(len(content), 200))] = random.integers(256)
        path.write_bytes(content[: random.integers(1, len(content) + 1)])
        with contextlib.suppress(MediaError):
            if media.identify(path) == "image":
                assert media.read_image(path).pixels.dtype == np.uint8
            else:
                assert media.read_sound(path, 16000).dtype == np.float32


def test_a_header_alone_tells_the_sample_rate(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav")
    with media.open_sound(path) as opened:
        facts = {"format": "WAV", "subtype": "PCM_16", "sample_rate": 16000, "channels": 1, "decoder": "libsndfile"}
        assert opened.facts == facts
        assert (opened.sample_rate, opened.channels, opened.format, opened.seconds) == (16000, 1, "WAV", 0)


@pytest.mark.parametrize(
    ("rate", "good"), [(999, False), (1000, True), (768000, True), (768001, False), (2**31 - 1, False)]
)
def test_sample_rates_from_1_to_768_khz_are_read(tmp_path: Path, rate: int, good: bool) -> None:
    path = sound(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    if good:
        assert len(media.read_sound(path, 16000)) == round(8000 * 16000 / rate)
        return
    with pytest.raises(MediaError) as caught:
        media.open_sound(path)
    what = f"sample rate {rate} Hz, expected 1000 to 768000; correct its header, or leave it out"
    assert str(caught.value) == f"{path}: {what}"
