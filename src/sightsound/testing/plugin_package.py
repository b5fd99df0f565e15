"""Write the package of a new plugin, which passes the conformance kit as it is."""

from __future__ import annotations

import hashlib
import re
import runpy
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from string import Template
from typing import Literal, get_args

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike

Kind = Literal["sound", "image", "onnx", "stage", "runtime"]
KINDS: tuple[str, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ABOUT: Mapping[str, str] = {
    "sound": "a log-spectrogram of each second of sound",
    "image": "the mean colours of an image",
    "onnx": "the mean colours of an image, by an ONNX file",
    "stage": "Centres the rows of image networks",
    "runtime": "A runtime for networks",
}
_NEXT: Mapping[str, str] = {
    "network": "Replace the network in\n`src/{module}/__init__.py`, and `original` in `tests/make_golden.py` by its"
    " original program; then run\n`python tests/make_golden.py`.",
    "other": "Replace the code in\n`src/{module}/__init__.py`.",
}


def new_plugin(name: str, kind: Kind, folder: PathLike = ".") -> Path:
    """Write the package of a new plugin: the plugin, its tests with golden rows, a README, and the tests as CI.

    Parameters
    ----------
    name : str
        The name of the distribution in lower case, such as "acme-birds". Its network is called `birds.acme`.
    kind : {"sound", "image", "onnx", "stage", "runtime"}
        What it adds: a network for sound or for images, a network in an ONNX file, a stage for the networks of others,
        or a runtime.
    folder : path
        Where the package gets a folder of its name.

    Returns
    -------
    pathlib.Path
        The folder of the package.

    Raises
    ------
    SightsoundError
        If the name or the kind is not possible, or there is something of this name already.
    """
    if not _NAME.fullmatch(name):
        raise SightsoundError(f"name: expected lower case words joined by -, such as acme-birds, got {name!r}")
    if kind not in KINDS:
        raise SightsoundError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    target = Path(folder) / name
    if target.exists():
        raise SightsoundError(f"{target}: there already; give another name or folder")
    words = _words(name, kind)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".sightsound-") as part:
            package = Path(part) / name
            _write(package, kind, words)
            package.rename(target)
    except OSError as error:
        raise SightsoundError(f"{target}: cannot be written ({error.strerror}); give another folder") from error
    return target


def _words(name: str, kind: Kind) -> dict[str, str]:
    """Return what the placeholders of the templates stand for."""
    owner, _, rest = name.partition("-")
    module = name.replace("-", "_")
    model = f"{(rest or name).replace('-', '_')}.{owner if rest else 'v1'}"
    network = kind in ("sound", "image", "onnx")
    requirements = ["sightsound", "numpy>=2.0", *(["onnxruntime>=1.20"] if kind == "onnx" else [])]
    data = _template(kind, "network.onnx") if kind == "onnx" else b""
    media = "sounds" if kind == "sound" else "photos"
    tries = {
        "runtime": f"sightsound --runtime {rest or name} index photos --library zoo",
        "stage": "sightsound check-model tf_efficientnet_lite0",
    }
    return {
        "name": name,
        "module": module,
        "plugin": rest or name,
        "model": model,
        "about": _ABOUT[kind],
        "dependencies": ", ".join(f'"{requirement}"' for requirement in requirements),
        "try_it": tries.get(
            kind, f"sightsound check-model {model}\nsightsound index {media} --library zoo --model {model}"
        ),
        "what_next": _NEXT["network" if network else "other"].format(module=module),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": str(len(data)),
    }


def _write(package: Path, kind: Kind, words: Mapping[str, str]) -> None:
    source, tests = package / "src" / words["module"], package / "tests"
    own = {"plugin.py": source / "__init__.py", "network.onnx": source / f"{words['module']}.onnx"}
    hidden = {"gitignore": ".gitignore", "github": ".github"}
    with as_file(files("sightsound.testing") / "templates") as templates:
        for path in [*(templates / "common").rglob("*"), *(templates / kind).iterdir()]:
            if path.is_dir():
                continue
            name = path.name.removesuffix(".in")
            if path.parent == templates / kind:
                place = own.get(name, tests / name)
            else:
                first, *rest = path.relative_to(templates / "common").with_name(name).parts
                place = package.joinpath(hidden.get(first, first), *rest)
            place.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_bytes()
            place.write_bytes(Template(text.decode()).substitute(words).encode() if path.suffix == ".in" else text)
    (source / "py.typed").touch()
    if (tests / "make_golden.py").exists():
        runpy.run_path(str(tests / "make_golden.py"))


def _template(kind: str, name: str) -> bytes:
    return (files("sightsound.testing") / "templates" / kind / name).read_bytes()
