"""What objects show of themselves in a notebook: escaped HTML without scripts, with media that a browser reads."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from PIL import Image

import made
from sightsound import Hit, Item, Library, Session, fit_probe, index, load_dataset, search
from sightsound.contract.html import html_table

pytestmark = pytest.mark.usefixtures("few_strengths")

HOSTILE = "<img src=x onerror=alert(1)>'\"&\x1b[2J.png"
ALLOWED = {"div", "table", "thead", "tbody", "tr", "th", "td", "img", "audio", "em"}


class Reader(HTMLParser):
    """Takes note of tags and attributes, and refuses what could do anything."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.sources = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ("src", "alt", "controls", "preload"), name
            assert name != "src" or value.startswith("data:"), value
            self.sources += [value] if name == "src" else []
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        assert data.isprintable()
        self.texts.append(data)


def decoded(source):
    return io.BytesIO(base64.b64decode(source.partition("base64,")[2]))


def test_a_library_shows_its_spaces(where):
    with Library(where) as opened:
        shown = Reader(opened._repr_html_())
        assert f"{where}: 5 items" in shown.texts
        assert {"colours.tiny", "loudness.tiny", "image", "sound", "48", "17"} <= set(shown.texts)
    with Session(where) as session:
        assert Reader(session._library._repr_html_()).texts == shown.texts


def test_a_hit_shows_its_thumbnail(where, zoo, tiny):
    hit = search(zoo / "cats" / "0.png", where, host=tiny, k=1)[0]
    shown = Reader(hit._repr_html_())
    picture = Image.open(decoded(shown.sources[0]))
    assert (picture.format, picture.size) == ("JPEG", (24, 20))
    assert hit.item.path in shown.texts and f"{hit.score:.4f}" in shown.texts


def test_a_hit_plays_its_seconds(where, zoo, tiny):
    hit = search(f"{zoo / 'dogs' / '0.wav'}@0.5-1.5", where, host=tiny, k=1)[0]
    shown = Reader(hit._repr_html_())
    samples, rate = soundfile.read(decoded(shown.sources[0]), dtype="float32")
    start, stop = hit.seconds
    whole, _ = soundfile.read(hit.item.file, dtype="float32")
    wanted = whole[round(start * rate) : round(stop * rate)]
    assert rate == made.RATE and np.abs(samples - wanted).max() < 2e-4
    assert f"{start:.2f}-{stop:.2f}" in shown.texts


def test_a_long_part_is_cut_and_a_large_image_is_small(tmp_path):
    made.write_sound(tmp_path / "long.wav", seconds=30)
    Image.new("RGB", (3000, 100), "red").save(tmp_path / "large.png")
    sound = Reader(Hit(Item(str(tmp_path), "long.wav", 1), 1.0, (2.0, 29.0))._repr_html_())
    assert soundfile.info(decoded(sound.sources[0])).duration == pytest.approx(10)
    image = Reader(Hit(Item(str(tmp_path), "large.png", 2), 1.0)._repr_html_())
    assert Image.open(decoded(image.sources[0])).size == (192, 6)


def test_hostile_names_and_labels_are_only_texts(tmp_path):
    made.write_image(tmp_path / "a.png")
    (tmp_path / HOSTILE.replace("/", "")).write_bytes((tmp_path / "a.png").read_bytes())
    labels = {"<script>": ("</td><script>alert(1)</script>",)}
    hit = Hit(Item(str(tmp_path), HOSTILE.replace("/", ""), 1), 0.5, labels=labels, tag="<b>")
    shown = Reader(hit._repr_html_())
    assert "<script>=</td><script>alert(1)</script>" in shown.texts and "<b>" in shown.texts


@pytest.mark.parametrize("name", ["gone.png", "notes.txt"])
def test_a_file_that_cannot_be_read_says_why(tmp_path, name):
    (tmp_path / "notes.txt").write_text("hello")
    shown = Reader(Hit(Item(str(tmp_path), name, 1), 0.5)._repr_html_())
    assert shown.sources == [] and any(name in text and ";" in text for text in shown.texts)


def test_reports_show_their_tables(tiny, shades, tmp_path):
    (shades / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    report = index(shades, tmp_path / "lib2", models=["colours.tiny"], host=tiny, label_from="folder")
    shown = Reader(report._repr_html_())
    assert {"ok", "36", "failed", "broken.png"} <= set(shown.texts)
    probe = fit_probe(load_dataset(tmp_path / "lib2", "colours.tiny"))
    shown = Reader(probe.report_._repr_html_())
    assert {"red", "green", "blue", "precision"} <= set(shown.texts)
    assert re.match(r"accuracy \d\.\d{3} \(", shown.texts[0])


def test_empty_cells_are_empty():
    assert html_table(["a"], [[None]]).count("<td></td>") == 1
