"""Networks of torch as they are written to files: with their head, and as a program of ONNX."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import nn

from sightsound.contract.errors import SightsoundError
from sightsound.contract.exporter import ExportedNetwork
from sightsound.torch.network import EmbeddingsOnly, WithLinearHead

OPSET = 17
"""The version of the operators of ONNX, which programs since 2022 have."""


def exported_module(network: ExportedNetwork) -> nn.Module:
    """Return a network that gives embeddings (n, d), or embeddings and scores (n, classes).

    Raises `SightsoundError` if the embedder has no network of torch.
    """
    embedder: Any = network.embedder
    if not hasattr(embedder, "module"):
        raise SightsoundError(
            f"{network.name}: expected a network of torch (a plugin with module()); name another model"
        )
    module: nn.Module = embedder.module()
    head = network.head or getattr(embedder, "linear_head", None)
    if head is not None:
        module = WithLinearHead(module, head)
    elif embedder.card.scores is None:
        module = EmbeddingsOnly(module)
    return module.eval().requires_grad_(False)


def traced_module(network: ExportedNetwork) -> torch.jit.ScriptModule:
    """Return `exported_module` as a graph, for any number of inputs.

    Raises
    ------
    SightsoundError
        If the embedder has no network of torch, or it cannot be traced.
    """
    module, card = exported_module(network), network.embedder.card
    trace: Any = torch.jit.trace
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that another way is newer, which not all runtimes read
            traced: torch.jit.ScriptModule = trace(module, torch.zeros(2, *card.input_shape), check_trace=False)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise SightsoundError(f"{network.name}: cannot be traced ({reason}); name another model") from error
    return traced


def onnx_program(network: ExportedNetwork) -> bytes:
    """Return a network as a program of ONNX: `input` to `embedding`, and to `scores` if there are any.

    Raises
    ------
    SightsoundError
        If the embedder has no network of torch, or it has an operation that ONNX has not.
    """
    module = exported_module(network)
    file: Any = io.BytesIO()
    names = ["embedding", "scores"] if network.head is not None or network.embedder.card.scores else ["embedding"]
    example = torch.zeros(1, *network.embedder.card.input_shape)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # that another exporter is newer; it needs a package that is not small
            torch.onnx.export(
                module,
                (example,),
                file,
                input_names=["input"],
                output_names=names,
                dynamic_axes={name: {0: "n"} for name in ["input", *names]},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise SightsoundError(f"{network.name}: cannot be written as ONNX ({reason}); name another model") from error
    program: bytes = file.getvalue()
    return program
