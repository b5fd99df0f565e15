"""Weight files of torch are read as tensors alone, and what else they hold is refused with a reason that helps."""

from __future__ import annotations

import io
import os
import pickle

import pytest

torch = pytest.importorskip("torch")

from sightsound import SightsoundError  # noqa: E402
from sightsound.torch import state_dict  # noqa: E402


class Program:
    """What a pickle must not run."""

    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("content", ["program", "damaged", "text", "list"])
def test_the_reason_is_one_line_without_the_advice_to_unpickle_anything(content, tmp_path, capsys):
    file = tmp_path / "net.pth"
    if content == "program":
        torch.save({"weight": Program()}, file)
    elif content == "list":
        torch.save([torch.zeros(2)], file)
    else:
        file.write_bytes(pickle.dumps({"weight": 3})[:-4] if content == "damaged" else b"no weights at all")
    with pytest.raises(SightsoundError) as caught:
        state_dict(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: expected ") and "got" in text
    assert "\n" not in text and "weights_only" not in text and "False" not in text and len(text) < 300
    assert capsys.readouterr().out == ""


def test_tensors_are_read(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "net.pth")
    assert state_dict(tmp_path / "net.pth")["weight"].tolist() == [1, 1]


# -- what pickle.dump wrote ----------------------------------------------------------------------------------------


class Call:
    """Pickled as a call of a function with arguments; `then` is the state that the result gets."""

    def __init__(self, function, *arguments, then=None):
        self.reduced = (function, arguments, then) if then is not None else (function, arguments)

    def __reduce__(self):
        return self.reduced


def dumped(value, path, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_state_dict_that_pickle_wrote_is_read(protocol, tmp_path):
    torch.manual_seed(0)
    whole = torch.randn(4, 6)
    written = {"conv": torch.randn(2, 3, 3, 3), "half": whole.half(), "count": torch.tensor(7), "view": whole.T[1:3]}
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    written = {**module.state_dict(), **written}
    found = state_dict(dumped(written, tmp_path / "net.pkl", protocol))
    assert list(found) == list(written)
    for name, tensor in written.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    ordered = state_dict(dumped(module.state_dict(), tmp_path / "ordered.pkl", protocol))  # an OrderedDict with a state
    assert all(torch.equal(ordered[name], tensor) for name, tensor in module.state_dict().items())


def storage_of(tensor):
    _, (storage, *_), *_ = tensor.__reduce_ex__(2)
    return storage


REBUILD = torch._utils._rebuild_tensor_v2
REFUSED = {
    "a program": lambda path: {"weight": Call(os.system, f"touch {path}")},
    "a program of builtins": lambda path: {"weight": Call(exec, f"open({str(path)!r}, 'w')")},
    "a class of torch": lambda path: {"weight": torch.nn.Linear(2, 2)},
    "a loader of torch": lambda path: {"weight": Call(torch.load, str(path))},
    "a name with dots": lambda path: {"weight": Call(torch._utils._rebuild_tensor_v2.__globals__["sys"].exit, 3)},
    "a list": lambda path: [torch.zeros(2)],
    "a number for a tensor": lambda path: {"weight": 3},
    "text for a tensor": lambda path: {"weight": "tensor"},
    "a number for a name": lambda path: {3: torch.zeros(2)},
    "a tensor beyond its bytes": lambda path: {
        "weight": Call(REBUILD, storage_of(torch.zeros(4)), 2, (3,), (1,), False, {})
    },
    "a tensor before its bytes": lambda path: {
        "weight": Call(REBUILD, storage_of(torch.zeros(4)), -1, (3,), (1,), False, {})
    },
    "steps beyond its bytes": lambda path: {
        "weight": Call(REBUILD, storage_of(torch.zeros(4)), 0, (3,), (2,), False, {})
    },
    "arguments of other kinds": lambda path: {"weight": Call(REBUILD, "a", "b", "c")},
    "bytes that are no storage": lambda path: {
        "weight": Call(REBUILD, Call(torch.storage._load_from_bytes, b"no storage"), 0, (1,), (1,), False, {})
    },
    "a program in the bytes": lambda path: {
        "weight": Call(
            REBUILD,
            Call(torch.storage._load_from_bytes, saved(Call(os.system, f"touch {path}"))),
            *(0, (1,), (1,), False, {}),
        )
    },
    "a state for a function": lambda path: {"weight": Call(REBUILD, 1, 2, then=(None, {"__code__": 3}))},
}


def saved(value):
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


@pytest.mark.parametrize("what", REFUSED)
def test_a_pickle_of_anything_else_is_refused_in_one_line_and_runs_nothing(what, tmp_path):
    place = tmp_path / "made"
    file = dumped(REFUSED[what](place), tmp_path / "net.pkl")
    with pytest.raises(SightsoundError) as caught:
        state_dict(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: expected tensors (.safetensors, .pth), got: ")
    assert "\n" not in text and len(text) < 300
    assert not place.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_file_of_an_older_torch_is_read_by_torch(protocol, tmp_path):
    written = {"weight": torch.ones(2)}
    torch.save(written, tmp_path / "net.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    assert state_dict(tmp_path / "net.pth")["weight"].tolist() == [1, 1]


def test_a_pickle_cannot_change_how_the_next_one_is_read(tmp_path):
    """The opcode BUILD sets attributes of whatever a pickle refers to."""
    poison = b"\x80\x03ctorch._utils\n_rebuild_tensor_v2\n(N}X\x0c\x00\x00\x00__defaults__)st\x86b."
    (tmp_path / "poison.pkl").write_bytes(poison)
    defaults = REBUILD.__defaults__
    with pytest.raises(SightsoundError):
        state_dict(tmp_path / "poison.pkl")
    assert REBUILD.__defaults__ == defaults
    assert state_dict(dumped({"a": torch.ones(2)}, tmp_path / "net.pkl"))["a"].tolist() == [1, 1]


@pytest.mark.parametrize("end", [2, 20, 200, -1])
def test_a_pickle_that_is_cut_off_is_refused(end, tmp_path):
    whole = dumped({"a": torch.ones(100)}, tmp_path / "net.pkl").read_bytes()
    (tmp_path / "cut.pkl").write_bytes(whole[:end])
    with pytest.raises(SightsoundError, match=r"cut\.pkl: expected tensors"):
        state_dict(tmp_path / "cut.pkl")


@pytest.mark.filterwarnings("error:.*TorchScript archive")
def test_a_program_of_torchscript_is_refused_without_a_warning_of_torch(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "net.pt"))
    with pytest.raises(SightsoundError, match=r"net\.pt: expected tensors .*got: a program of TorchScript") as caught:
        state_dict(tmp_path / "net.pt")
    assert "\n" not in str(caught.value)
