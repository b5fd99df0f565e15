"""Weight files of torch are read as tensors alone, and what else they hold is refused with a reason that helps."""

from __future__ import annotations

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


@pytest.mark.filterwarnings("error:.*TorchScript archive")
def test_a_program_of_torchscript_is_refused_without_a_warning_of_torch(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "net.pt"))
    with pytest.raises(SightsoundError, match=r"net\.pt: expected tensors .*got: a program of TorchScript") as caught:
        state_dict(tmp_path / "net.pt")
    assert "\n" not in str(caught.value)
