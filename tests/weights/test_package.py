"""Weight files inside installed packages (`package:NAME!path`), and what is known of the content of each file."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sightsound import Card, Host, WeightFile, hookimpl
from sightsound.contract.errors import MissingWeights
from sightsound.weights.hashes import identity
from sightsound.weights.store import Store

DATA, OTHER = b"numbers" * 1000, b"other numbers"
SHA = hashlib.sha256(DATA).hexdigest()
SOURCE = "package:acme-net!acme_net/net.bin"


def file(*sources: str, **fields) -> WeightFile:
    return WeightFile(**{"name": "net.bin", "sha256": SHA, "sources": sources or (SOURCE,), **fields})


def install(site: Path, source: Path | None = None, content: bytes = DATA) -> Path:
    """Make what pip makes of a wheel with a package that cannot be imported, or of an editable project in `source`."""
    package, info = (source or site) / "acme_net", site / "acme_net-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('it must not be imported')")
    (package / "net.bin").write_bytes(content)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-net\nVersion: 1.0\n")
    if source is not None:
        origin = {"url": source.parent.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(origin))
    return package / "net.bin"


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    for name in ("SIGHTSOUND_WEIGHTS", "SIGHTSOUND_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(cache=tmp_path / "cache")


def error(store: Store, wanted: WeightFile) -> str:
    with pytest.raises(MissingWeights) as caught:
        store.get(wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("offline", [False, True])
def test_a_file_in_an_installed_package_is_read_in_place(tmp_path, site, offline):
    place, where = install(site), Store(cache=tmp_path / "cache", offline=offline)
    found = where.get(file())
    assert (found.path, found.sha256, found.known) == (place, SHA, True)
    assert where.find(file()) == found and where.state(file()) == "present"
    assert not (tmp_path / "cache").exists(), "nothing is copied"
    assert "acme_net" not in sys.modules, "nor imported"


def test_a_file_in_an_editable_package_is_found_in_its_source(tmp_path, site, store, monkeypatch):
    place = install(site, tmp_path / "project" / "src")
    assert "acme-net 1.0 has no file acme_net/net.bin" in error(store, file())
    monkeypatch.syspath_prepend(tmp_path / "project" / "src")
    assert store.get(file()).path == place
    assert "acme_net" not in sys.modules


def test_another_package_of_the_same_name_is_not_taken_for_the_editable_one(tmp_path, site, store, monkeypatch):
    install(site, tmp_path / "project" / "src")
    install(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "acme_net-1.0.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(site)
    assert "acme-net 1.0 has no file" in error(store, file())


def test_a_file_in_the_package_of_this_project_is_found_however_it_is_installed(store):
    path = Path(__file__).resolve().parents[2] / "src" / "sightsound" / "py.typed"
    found = store.get(file("package:sightsound!sightsound/py.typed", name="py.typed", sha256=""))
    assert found.path.read_bytes() == path.read_bytes()


def test_a_file_with_another_content_is_refused_with_both_hashes(site, store):
    install(site, content=OTHER)
    text = error(store, file())
    assert f"{SOURCE}: expected SHA-256 {SHA}, got SHA-256 {hashlib.sha256(OTHER).hexdigest()}" in text
    assert store.state(file(size=len(DATA))) == "missing", "it cannot be fetched"


@pytest.mark.parametrize("offline", [False, True])
def test_a_package_that_is_not_installed_names_the_line_that_installs_it(tmp_path, offline):
    where = Store(cache=tmp_path / "cache", offline=offline)
    assert f"{SOURCE}: acme-net is not installed; pip install acme-net" in error(where, file())
    assert where.state(file()) == "missing"


def test_a_package_without_the_file_is_named_with_its_version(site, store):
    install(site)
    wrong = "package:acme-net!acme_net/other.bin"
    assert f"{wrong}: acme-net 1.0 has no file acme_net/other.bin; install it anew" in error(store, file(wrong))


@pytest.mark.parametrize(
    "path", ["../secret", "acme_net/../../secret", "/etc/hostname", "C:\\x", "acme_net\\..\\x", "c:/x", "a\0b", "."]
)
def test_a_path_that_leads_out_of_the_package_is_refused(site, store, path):
    install(site)
    (site.parent / "secret").write_bytes(DATA)
    text = error(store, file(f"package:acme-net!{path}"))
    assert "expected a path inside the package, such as acme_net/net.onnx, got" in text


def test_a_package_in_a_zip_file_is_refused_with_the_remedy(tmp_path, store, monkeypatch):
    install(tmp_path / "site")
    with zipfile.ZipFile(tmp_path / "acme_net-1.0.zip", "w") as archive:
        for path in sorted((tmp_path / "site").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "site"))
    monkeypatch.syspath_prepend(tmp_path / "acme_net-1.0.zip")
    archive = tmp_path / "acme_net-1.0.zip"
    assert f"acme-net is inside the archive {archive}; install it with pip, which unpacks it" in error(store, file())


def test_the_next_source_is_used_if_the_package_lacks_the_file(site, store, tmp_path):
    install(site)
    assert store.get(file("package:absent!x/net.bin", SOURCE)).sha256 == SHA


def test_the_files_of_the_user_come_first(site, tmp_path):
    install(site)
    mine = tmp_path / "mine.bin"
    mine.write_bytes(DATA)
    assert Store([f"net.bin={mine}"], cache=tmp_path / "cache").get(file()).path == mine


def test_a_network_is_loaded_with_a_file_of_its_own_package(site):
    place = install(site)
    card = Card(name="net.acme", modality="image", dim=1, input_shape=(1,), weights=(file(),))
    loaded = []

    class Acme:
        card = None

        @hookimpl
        def register_embedders(self, register):
            register(card, lambda device, weights: loaded.append(weights["net.bin"]) or self)

    plugin, host = Acme(), Host(installed=False)
    plugin.card = card
    host.register(plugin, "acme")
    host.load("net.acme")
    assert loaded == [place]


# -- what is known of the content ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sha256": SHA}, "SHA-256"),
        ({"git_blob": "0" * 40}, "git blob"),
        ({"sha256": SHA, "git_blob": "0" * 40}, "SHA-256"),
        ({"name": "vggish-10086976.pth"}, "digits in its name"),
        ({"name": "mobilenet_v2-b0353104.pth"}, "digits in its name"),
        ({"name": "net-20190101.pth"}, "taken on first use"),
        ({"name": "resnet18_places365.pth.tar"}, "taken on first use"),
    ],
)
def test_what_is_known_of_the_content_of_a_file(fields, expected):
    assert identity(WeightFile(**{"name": "net.bin", **fields})) == expected


def test_the_files_of_the_installed_networks_are_known_except_those_that_nobody_states_a_hash_of():
    pytest.importorskip("sightsound_timm")
    pytest.importorskip("sightsound_audioset")
    known = Host()
    cards = {name: card for name, card in known.cards.items() if known.plugin_of(name) in ("timm", "vggish", "yamnet")}
    files = [(name, each) for name, card in cards.items() for each in card.weights]
    taken = {name for name, each in files if identity(each) == "taken on first use"}
    on_a_hub = {name for name, each in files if each.sources and each.sources[0].startswith("hf:")}
    assert on_a_hub and taken == {"resnet18.places365", "resnet50.places365"} | on_a_hub


def test_a_stated_size_that_is_wrong_is_said_and_does_not_hide_the_file(site, store, tmp_path, command):
    install(site)
    state, problem = store.examine(file(size=5))
    assert (state, problem) == (
        "present",
        f"size: the card says 5 bytes, the right file has {len(DATA):,}; tell the plugin's author",
    )
    assert store.examine(file(size=len(DATA))) == ("present", "")
    assert np.all([store.state(file(size=size)) == "present" for size in (0, 5, 10**9)])


def test_a_damaged_file_of_another_size_is_not_taken_for_a_wrong_size_on_the_card(site, store, tmp_path):
    install(site, content=DATA[:-1])
    assert store.examine(file(size=len(DATA)))[0] == "missing"
    folder = store.cache.folder / SHA
    os.makedirs(folder)
    (folder / "net.bin").write_bytes(DATA[:-1])
    assert store.examine(file("https://acme.example/net.bin", size=len(DATA)))[0] == "fetchable"
    (folder / "net.bin").write_bytes(DATA)
    assert store.examine(file("https://acme.example/net.bin", size=1))[1].startswith("size: the card says 1 bytes")
