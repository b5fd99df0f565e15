"""Folders, archives and addresses of SavedModels, and what is refused. TensorFlow is not needed but where marked."""

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from sightsound import Host, ModelSettings, SightsoundError, import_model
from sightsound_tfhub import archive
from sightsound_tfhub.address import PINNED, address_of
from sightsound_tfhub.importer import SavedModel


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a SavedModel."""
    place = tmp_path / "net"
    for name, data in (("saved_model.pb", b"graph"), ("variables/variables.index", b"index"), ("assets/a.txt", b"a")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def gathered(source, tmp_path):
    """The bytes of a source in one file, and its name."""
    place = tmp_path / f"gathered-{len(list(tmp_path.glob('gathered-*')))}"
    place.mkdir()
    (file,) = SavedModel().gather(str(source), place)
    return file.read_bytes(), file.name


def test_a_folder_and_its_archives_give_the_same_file(folder, tmp_path, archive_of):
    expected = gathered(folder, tmp_path)
    assert expected[1] == "net.savedmodel"
    (tmp_path / "net.savedmodel").write_bytes(expected[0])
    os.utime(folder / "saved_model.pb", (1, 1))
    (folder / "fingerprint.pb").write_bytes(os.urandom(8))  # another in each run of the program that saves
    (folder / ".DS_Store").touch()
    assert gathered(folder, tmp_path) == expected
    assert gathered(archive_of(folder, tmp_path / "net.tar.gz"), tmp_path) == expected
    assert gathered(archive_of(folder.parent, tmp_path / "deep.tgz"), tmp_path)[0] == expected[0]
    assert gathered(tmp_path / "net.savedmodel", tmp_path) == expected
    (folder / "assets" / "a.txt").write_text("b")
    assert gathered(folder, tmp_path) != expected


def test_it_is_unpacked_once_and_again_if_a_file_is_missing(folder, tmp_path):
    (tmp_path / "net.savedmodel").write_bytes(gathered(folder, tmp_path)[0])
    place = archive.unpacked(tmp_path / "net.savedmodel")
    assert place.parent == tmp_path / "own-cache" / "savedmodels"
    assert (place / "variables" / "variables.index").read_bytes() == b"index"
    before = place.stat().st_ino
    assert archive.unpacked(tmp_path / "net.savedmodel").stat().st_ino == before
    (place / "variables" / "variables.index").unlink()
    assert archive.unpacked(tmp_path / "net.savedmodel") == place
    assert (place / "variables" / "variables.index").read_bytes() == b"index"
    assert [each.name for each in place.parent.iterdir()] == [place.name]


def member(name, kind=tarfile.REGTYPE, size=0, link=""):
    found = tarfile.TarInfo(name)
    found.type, found.size, found.linkname = kind, size, link
    return found


UNSAFE = {
    "parent": ([member("../evil")], r"'../evil', which is no relative name"),
    "inside": ([member("assets/../../evil")], r"no relative name"),
    "absolute": ([member("/tmp/evil")], r"'/tmp/evil', which is no relative name"),
    "backslash": ([member("..\\evil")], r"no relative name"),
    "folder": ([member("../evil", tarfile.DIRTYPE)], r"no relative name"),
    "link": ([member("assets/a", tarfile.SYMTYPE, link="/etc/passwd")], r"'assets/a', which is no plain file"),
    "hard link": ([member("assets/a", tarfile.LNKTYPE, link="saved_model.pb")], r"no plain file"),
    "device": ([member("assets/a", tarfile.CHRTYPE)], r"no plain file"),
    "pipe": ([member("assets/a", tarfile.FIFOTYPE)], r"no plain file"),
    "twice": ([member("saved_model.pb"), member("saved_model.pb")], r"'saved_model.pb' twice"),
    "file as folder": ([member("a"), member("a/b")], r"a: cannot be written"),
    "many": ([member(str(number)) for number in range(30)], r"more than 20 files"),
    "large": ([member("a", size=3000), member("b", size=3000)], r"more than 5,000 bytes"),
    "nothing": ([member("a.txt")], r"expected one SavedModel \(saved_model.pb\), got 0"),
    "two": ([member("a/saved_model.pb"), member("b/saved_model.pb")], r"expected one SavedModel .*, got 2"),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_an_unsafe_archive_is_refused_and_writes_nothing_outside(tmp_path, monkeypatch, case):
    monkeypatch.setattr(archive, "LIMIT", 5000)
    monkeypatch.setattr(archive, "MEMBERS", 20)
    members, message = UNSAFE[case]
    with tarfile.open(tmp_path / "net.tar.gz", "w:gz") as tar:
        for each in members:
            tar.addfile(each, io.BytesIO(bytes(each.size)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SightsoundError, match=message) as refused:
        gathered(tmp_path / "net.tar.gz", tmp_path)
    assert "\n" not in str(refused.value)
    assert sorted(each for each in tmp_path.iterdir() if not each.name.startswith("gathered")) == before


def test_a_zip_that_is_unsafe_or_damaged_is_refused(tmp_path, folder):
    file = tmp_path / "net.savedmodel"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("../evil", "x")
    with pytest.raises(SightsoundError, match=r"net.savedmodel: .*'../evil', which is no relative name"):
        gathered(file, tmp_path)
    whole = gathered(folder, tmp_path)[0]
    for damaged in (whole[:-30], whole.replace(b"graph", b"grave"), b"", b"not an archive"):
        file.write_bytes(damaged)
        with pytest.raises(SightsoundError, match=r"net.savedmodel: expected an archive with a SavedModel, got: "):
            gathered(file, tmp_path)


def test_a_damaged_archive_is_refused(folder, tmp_path, archive_of):
    file = archive_of(folder, tmp_path / "net.tar.gz")
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:2], whole[:40] + bytes(9) + whole[49:], b"", b"no archive" * 99):
        file.write_bytes(damaged)
        with pytest.raises(
            SightsoundError, match=r"net.tar.gz: expected an archive with a SavedModel, got: .+; get it"
        ):
            gathered(file, tmp_path)


def test_a_name_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_AT_ONCE", 4096)
    with tarfile.open(tmp_path / "net.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("a" * 10_000))
    with pytest.raises(SightsoundError, match=r"a header that is too long"):
        gathered(tmp_path / "net.tar.gz", tmp_path)


def test_a_link_to_a_folder_is_refused(folder, tmp_path):
    (folder / "assets" / "more").symlink_to(tmp_path)
    with pytest.raises(SightsoundError, match=r"more: expected no link to a folder in a SavedModel"):
        gathered(folder, tmp_path)


def test_a_folder_without_a_graph_is_not_taken(tmp_path):
    assert not SavedModel().takes(str(tmp_path))
    with pytest.raises(SightsoundError, match=r"expected a SavedModel \(a folder with saved_model.pb\)"):
        gathered(tmp_path, tmp_path)
    with pytest.raises(SightsoundError, match=r"nothing: no such folder or file"):
        gathered(tmp_path / "nothing", tmp_path)


ADDRESSES = {
    "https://tfhub.dev/google/yamnet/1": "https://tfhub.dev/google/yamnet/1?tf-hub-format=compressed",
    "google/yamnet/1": "https://tfhub.dev/google/yamnet/1?tf-hub-format=compressed",
    "google/imagenet/mobilenet_v2_100_224/feature_vector/5": (
        "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5?tf-hub-format=compressed"
    ),
    "https://a.org/x/1?tf-hub-format=compressed": "https://a.org/x/1?tf-hub-format=compressed",
    "https://a.org/x/1?key=2": "https://a.org/x/1?key=2&tf-hub-format=compressed",
    "https://a.org/net.tar.gz?key=2": "https://a.org/net.tar.gz?key=2",
    "https://a.org/net.onnx": None,
    "https://a.org": None,
    "gs://a/b/1": None,
    "models/net": None,
    "net.tar.gz": None,
    "/models/net/1": None,
    "https://[": None,
}


@pytest.mark.parametrize("source", ADDRESSES)
def test_addresses(source):
    found = address_of(source)
    assert (found and found.url) == ADDRESSES[source]
    assert SavedModel().takes(source) == (found is not None or source.endswith(".tar.gz"))


def test_only_an_address_with_a_known_hash_need_not_be_trusted(tmp_path, monkeypatch):
    (pinned,) = PINNED
    digits = "0" * 64
    assert address_of(pinned).sha256 == address_of("google/yamnet/1").sha256 == PINNED[pinned]
    assert address_of(f"https://a.org/x/1#sha256={digits}").sha256 == digits
    assert SavedModel().pinned("google/yamnet/1") and SavedModel().pinned(f"https://a.org/x/1#sha256={digits}")
    assert not SavedModel().pinned("google/yamnet/2") and not SavedModel().pinned("https://a.org/x/1")
    with pytest.raises(SightsoundError, match=r"expected #sha256= and 64 hexadecimal digits"):
        address_of("https://a.org/x/1#sha256=00")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "google" / "yamnet" / "1").mkdir(parents=True)  # a folder of the user's, which anybody may have filled
    assert not SavedModel().pinned("google/yamnet/1")


@pytest.fixture
def server(tmp_path):
    """A server of archives as TF-Hub: (its address, the requests that it got, its archives by path)."""
    requests, archives = [], {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            path, _, query = self.path.partition("?")
            data = archives.get(path) if query == "tf-hub-format=compressed" else None
            self.send_response(200 if data else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", requests, archives
        running.shutdown()
        thread.join()


def test_an_archive_is_fetched_once_and_compared_with_its_hash(server, folder, tmp_path, archive_of, monkeypatch):
    address, requests, archives = server
    data = archives["/acme/net/1"] = archive_of(folder, tmp_path / "a.tar.gz").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    expected = gathered(folder, tmp_path)[0]
    assert gathered(f"{address}/acme/net/1", tmp_path) == (expected, "acme_net_1.savedmodel")
    monkeypatch.setenv("SIGHTSOUND_OFFLINE", "1")
    assert gathered(f"{address}/acme/net/1", tmp_path)[0] == expected
    assert requests == ["/acme/net/1?tf-hub-format=compressed"]
    with pytest.raises(SightsoundError, match=r"net/2.*: cannot be fetched \(.* \(offline\)\); download it"):
        gathered(f"{address}/acme/net/2", tmp_path)
    assert len(requests) == 1
    monkeypatch.delenv("SIGHTSOUND_OFFLINE")
    with pytest.raises(SightsoundError, match=r"net/2.*: cannot be fetched \(.* HTTP 404 .*\); download it"):
        gathered(f"{address}/acme/net/2", tmp_path)
    assert gathered(f"{address}/acme/net/1#sha256={digest}", tmp_path)[0] == expected
    with pytest.raises(SightsoundError, match=r"net/1.*: cannot be fetched \(.* expected SHA-256 0000"):
        gathered(f"{address}/acme/net/1#sha256={'0' * 64}", tmp_path)


@pytest.mark.tensorflow
def test_a_handle_is_imported_if_it_is_trusted_or_pinned(server, saved, host, tmp_path, archive_of):
    address, requests, archives = server
    data = archives["/acme/net/1"] = archive_of(saved("pictures"), tmp_path / "a.tar.gz").read_bytes()
    source = f"{address}/acme/net/1"
    with pytest.raises(SightsoundError, match=r"a file of the format savedmodel is a program; give --trust"):
        import_model(source, ModelSettings(name="a"), host=host)
    assert requests == []
    import_model(source, ModelSettings(name="a"), trust=True, host=host)
    import_model(f"{source}#sha256={hashlib.sha256(data).hexdigest()}", ModelSettings(name="b"), host=host)
    import_model(saved("pictures"), ModelSettings(name="c"), trust=True, host=host)
    assert len({host.card(name).weights[0].sha256 for name in "abc"}) == 1


@pytest.mark.tensorflow
def test_the_command_imports_a_folder_and_prints_nothing_of_tensorflow(saved, command, tmp_path):
    folder = shutil.copytree(saved("waves"), tmp_path / "waves")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (tmp_path / "waves.card.json").write_text('{"name": "mine", "rate": 1000, "logits": true}')
    words = ("import-model", folder, "--labels", tmp_path / "labels.txt")
    refused = command(*words, plugins=(), process=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is a program; give --trust if you know where it is from" in refused.stderr
    done = command(*words, "--trust", plugins=(), process=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mine: sound, input 800 at 1000 Hz, 6 numbers a vector, 3 classes\n")


@pytest.mark.tensorflow
def test_the_example_of_the_readme_prints_what_it_shows(tf, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    exec(code, {})
    assert capsys.readouterr().out == code.rstrip().rpartition("\n# ")[2] + "\n"


def test_import_and_load_import_no_framework():
    program = (
        "import sys, sightsound_tfhub, pathlib\n"
        "from sightsound.plugin import ModelSettings\n"
        "card = ModelSettings(name='a').card(dim=1, input_shape=(3, 8, 8), constants={})\n"
        "importer = sightsound_tfhub.SavedModel()\n"
        "importer.load(card, 'cpu', {'a.savedmodel': pathlib.Path('a')})\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tensorflow_hub", "keras", "torch"} & set(done.stdout.split())


def test_without_tensorflow_the_plugin_is_broken_and_says_what_to_install(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorflow" else find(name, *rest)
    )
    (row,) = [each for each in Host().plugins if each.distribution == "sightsound-tfhub"]
    assert (row.name, row.status) == ("tfhub", "broken")
    assert row.reason == "ModuleNotFoundError: No module named 'tensorflow'; install it: pip install tensorflow"
