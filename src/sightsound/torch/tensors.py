"""The tensors of a file against those of a network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def first_difference(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    *,
    may_lack: tuple[str, ...] = (),
    may_have: tuple[str, ...] = (),
) -> str:
    """Describe why the tensors of a file are not those of a network.

    Parameters
    ----------
    own : mapping of str to torch.Tensor
        The state dict of the network.
    tensors : mapping of str to torch.Tensor
        Those of the file.
    may_lack, may_have : tuple of str
        Ends of names that the file may lack, or have although the network does not.

    Returns
    -------
    str
        The first tensor of another shape, else the first that is missing, else the first that is extra; "" if all fit.
    """
    for name, tensor in own.items():
        if name in tensors and tensors[name].shape != tensor.shape:
            return f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(tensors[name].shape)}"
    for name in own:
        if name not in tensors and not name.endswith(may_lack):
            return f"expected a tensor {name}, got {next(iter(tensors), 'none')}" + (" and others" if tensors else "")
    extra = next((name for name in tensors if name not in own and not name.endswith(may_have)), None)
    return f"expected no tensor {extra}" if extra else ""
