"""Servers on this machine that have weight files, or lie."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import socket
import threading
from pathlib import Path
from random import Random

from attack.damage import CONTROL, damaged
from attack.forks import Forks

CONTENT = bytes(range(256)) * 1024
"""What the networks of tests/dists/fetch expect."""
NO_PROXY = {"no_proxy": "127.0.0.1", "SIGHTSOUND_OFFLINE": "", "SIGHTSOUND_WEIGHTS": ""}
"""The environment of a command that uses these servers."""


class _Honest(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore clients that were killed."""


@functools.cache
def honest_port() -> int:
    """Return the port of a server that answers every request with `CONTENT`; it runs until this process ends."""
    server = _Server(("127.0.0.1", 0), _Honest)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


# -- servers that lie -------------------------------------------------------------------------------------------------

FETCHING = ("platformdirs", "filelock", "urllib.request", "sightsound.cli.weights", "sightsound.weights.sources")
ODD_SOURCES = (
    *(
        "",
        " ",
        "x",
        "http://",
        "https://",
        "http:///a",
        "http://[",
        "http://[::1",
        "http://127.0.0.1:x/",
        "file:///etc/passwd",
    ),
    *(
        "ftp://127.0.0.1/a",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:-1/",
        "HTTP://127.0.0.1:9/",
        "hf:",
        "hf:!",
        "pypi:",
    ),
    *(
        "pypi:a==1",
        "pypi:a==1!",
        "pypi:-r==1!x",
        "pypi:a b==1!x",
        "//127.0.0.1/a",
        "http://user@127.0.0.1:9/",
        "\x1b[31m",
    ),
    *(
        "http://127.0.0.1:9/\x1b[31m",
        "http://127.0.0.1:9/\nforged line",
        "http://127.0.0.1:9/" + "x" * 60_000,
        "data:,x",
    ),
)


class Liar:
    """A server that answers as a seed says, and a cache into which networks fetch their weights from it."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.forks, self.cache, self.random = forks, folder / "cache", Random(0)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        threading.Thread(target=self._serve, args=(listening,), daemon=True).start()
        self._get("sha256", f"http://127.0.0.1:{honest_port()}/", "without an attack", (0,))

    def _serve(self, listening: socket.socket) -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                try:
                    connection.settimeout(5)
                    connection.recv(1 << 16)
                    connection.sendall(self._answer())
                except OSError:
                    pass

    def attack(self, seed: int) -> None:
        """Fetch from a lying server or an odd source, then from an honest one."""
        self.random = random = Random(f"liar {seed}")
        shutil.rmtree(self.cache, ignore_errors=True)
        kind, source = random.choice(["sha256", "blob", "unknown"]), f"http://127.0.0.1:{self.port}/{seed}"
        if random.random() < 0.2:
            source = random.choice(ODD_SOURCES)
        self._get(kind, source, f"liar {seed}", (0, 2))
        kept = [path for path in self.cache.rglob("*.bin") if ".fetching" not in path.parts]
        for path in kept:
            data = path.read_bytes()
            assert hashlib.sha256(data).hexdigest() == path.parent.name, f"liar {seed}: {path}"
            assert kind == "unknown" or data == CONTENT, f"liar {seed}: {path}"
        self._get(kind, f"http://127.0.0.1:{honest_port()}/{seed}", f"liar {seed}, then an honest one", (0,))

    def _get(self, kind: str, source: str, name: str, codes: tuple[int, ...]) -> None:
        environment = {"SIGHTSOUND_FETCH": source, "XDG_CACHE_HOME": str(self.cache), **NO_PROXY}
        words = ["weights", "get", f"{kind}.fetch"]
        ran = self.forks.run(words, environment=environment, imports=FETCHING, seconds=20, memory=10**9)
        told = f"{name}: {kind} from {source[:200]!a}: exit code {ran.code}, {ran.seconds:.1f} s\n{ran.text[:4000]}"
        assert ran.code in codes and "Traceback" not in ran.text and not CONTROL.search(ran.text), told
        assert not any(line.startswith("forged line") for line in ran.text.splitlines()), told

    def _answer(self) -> bytes:
        random, size = self.random, len(CONTENT)
        status = random.choice(
            [b"HTTP/1.1 200 OK"] * 6
            + [b"HTTP/1.0 200 OK", b"HTTP/1.1 404 \x1b[31mgone", b"HTTP/1.1 302 x", b"HTTP/1.1 302 x", b"HTTP/9.9 200"]
            + [
                b"HTTP/1.1 99999 x",
                b"HTTP/1.1 200 " + b"x" * 70_000,
                b"HTTP/1.1 206 x",
                b"HTTP/1.1 100 x",
                random.randbytes(50),
                b"",
            ]
        )
        lengths = (size, size, size, 0, -1, size - 1, size + 1, 10**12, 10**30, b"x", b"", b"1\r\nContent-Length: 2")
        places = (
            b"http://127.0.0.1:%d/again" % self.port,
            b"file:///etc/passwd",
            b"ftp://127.0.0.1/",
            b"http://[",
            b"",
        )
        places += (b"//127.0.0.1", b"http://example.invalid/", b"\x1b[31m", b"/", b"x" * 70_000)
        headers = [
            b"Content-Length: %b" % str(length).encode()
            if isinstance(length := random.choice(lengths), int)
            else b"Content-Length: " + length
        ]
        headers += [b"Location: " + random.choice(places)] * (b" 302 " in status)
        odd = (
            b"Transfer-Encoding: chunked",
            b"Content-Encoding: gzip",
            b"X: \x1b[31m",
            b"no colon",
            b": x",
            b"X: " + b"y" * 70_000,
        )
        headers += random.sample([*odd, *[b"A: b"] * 10, *[b"C: d"] * 120], random.choice([0, 0, 0, 1, 2, 130]))
        body = random.choice(
            [CONTENT] * 4 + [damaged(CONTENT, random), b"", b"<!DOCTYPE html><p>", CONTENT[: size // 2], CONTENT + b"x"]
        )
        if random.random() < 0.2:
            chunk = random.choice([b"%x" % size, b"ffffffffffffffff", b"-1", b"x", b"%x" % (size + 9)])
            headers, body = [b"Transfer-Encoding: chunked"], chunk + b"\r\n" + body + b"\r\n0\r\n\r\n"
        whole = b"\r\n".join([status, *headers, b"", b""]) + body
        return whole[: random.randrange(len(whole))] if whole and random.random() < 0.1 else whole
