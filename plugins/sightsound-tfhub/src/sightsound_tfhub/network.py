"""A loaded SavedModel: which function of it is called, with what input, and its outputs by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Floats, SightsoundError
from sightsound_tfhub.framework import choose_device, import_hub, import_tensorflow

_USUAL = ("serving_default", "default")
"""The names of signatures that are taken first: those of TensorFlow 2 and of TF-Hub's older format."""

ITSELF = "__call__"
"""The function of a SavedModel that is called like one, as TF-Hub's models are."""


class Network:
    """One function of a SavedModel.

    Several threads may call it at once.

    Parameters
    ----------
    folder : pathlib.Path
        The SavedModel.
    label : str
        How errors name it.
    device : str
        As for `Load`.
    wanted : str
        The name of a signature or method, "" for the usual one.

    Attributes
    ----------
    name : str
        The function that is used.
    shape : tuple of (int or None), or None
        The shape of its input with the axis of the batch, as far as it is known.
    flat : bool
        Whether it takes samples without an axis for the batch.

    Raises
    ------
    SightsoundError
        If the SavedModel cannot be loaded, or has no such function with one input of real numbers.
    """

    def __init__(self, folder: Path, label: str, device: str = "cpu", wanted: str = "") -> None:
        self._tensorflow, self._label = import_tensorflow(), label
        self.device = choose_device(device)
        with self._tensorflow.device(self.device):
            self._model = _load(folder, label)
        functions = dict(self._functions())
        self.name = self._chosen(functions, wanted)
        self._call, (self._keyword, spec) = functions[self.name]
        self._dtype = spec.dtype.as_numpy_dtype
        self.shape: tuple[int | None, ...] | None = None if spec.shape.rank is None else tuple(spec.shape.as_list())
        self.flat = self.shape is not None and len(self.shape) == 1
        self._single = self.flat or bool(self.shape and self.shape[0] == 1)

    def outputs(self, inputs: Floats) -> dict[str, NDArray[Any]]:
        """Return the outputs that are real numbers by name, each with the axis of the batch, for inputs (n, ...).

        The names are those of the model, or `output_0`, `output_1`, ... in order.

        Raises
        ------
        MemoryError
            If the batch does not fit the device.
        """
        try:
            with self._tensorflow.device(self.device):
                if not self._single:
                    return dict(self._named(self._run(inputs)))
                each = [dict(self._named(self._run(one if self.flat else one[np.newaxis]))) for one in inputs]
        except self._tensorflow.errors.ResourceExhaustedError as error:
            raise MemoryError(str(error).partition("\n")[0]) from error
        return {name: np.stack([one[name] if self.flat else one[name][0] for one in each]) for name in each[0]}

    def class_map(self) -> Path | None:
        """Return the table of classes among the files of the model, as `class_map_path()` of YAMNet says."""
        method = getattr(self._model, "class_map_path", None)
        return None if method is None else Path(method().numpy().decode())

    def _run(self, values: NDArray[Any]) -> Any:
        tensor = self._tensorflow.constant(values, self._dtype)
        return self._call(**{self._keyword: tensor}) if self._keyword else self._call(tensor)

    def _named(self, found: Any) -> Iterator[tuple[str, NDArray[Any]]]:
        if isinstance(found, dict):
            items = [(str(name), found[name]) for name in sorted(found)]
        else:
            several = found if isinstance(found, list | tuple) else [found]
            items = [(f"output_{number}", each) for number, each in enumerate(several)]
        for name, value in items:
            if self._tensorflow.is_tensor(value) and value.dtype.is_floating and len(value.shape) > 0:
                yield name, value.numpy().astype(np.float32)

    def _functions(self) -> Iterator[tuple[str, tuple[Any, tuple[str, Any]]]]:
        """Yield name, function, keyword of the input ("" by position) and its type, where there is one real input.

        The functions are concrete ones: TensorFlow's others trace again for other shapes, and one that is called with
        arguments that it does not have stays locked for all other threads.
        """
        methods = [name for name in dir(self._model) if not name.startswith("_") and name != "signatures"]
        for name in (ITSELF, *methods):
            function = getattr(self._model, name, None)
            traced = [(each, *each.structured_input_signature) for each in getattr(function, "concrete_functions", ())]
            for concrete, arguments, keywords in sorted(traced, key=lambda each: any(arg is True for arg in each[1])):
                specs = [each for each in (*arguments, *keywords.values()) if self._is_input(each)]
                if len(specs) == 1 and arguments and specs[0] is arguments[0] and specs[0].dtype.is_floating:
                    yield name, (concrete, ("", specs[0]))
                    break  # the first, or the first that is not for training
        for name, function in dict(getattr(self._model, "signatures", {})).items():
            specs_by_name = function.structured_input_signature[1]
            if len(specs_by_name) == 1 and next(iter(specs_by_name.values())).dtype.is_floating:
                yield str(name), (function, next(iter(specs_by_name.items())))

    def _is_input(self, argument: Any) -> bool:
        nested = self._tensorflow.nest.flatten(argument)
        return any(isinstance(each, self._tensorflow.TensorSpec) for each in nested)

    def _chosen(self, functions: dict[str, Any], wanted: str) -> str:
        if wanted in functions:
            return wanted
        usual = [name for name in (ITSELF, *_USUAL) if name in functions] or list(functions)[: len(functions) == 1]
        if usual and not wanted:
            return usual[0]
        known = ", ".join(functions) or "none"
        expected = f"expected one of the functions with one input of real numbers ({known})"
        raise SightsoundError(f"{self._label}: input: {expected}, got {wanted or 'none'}; give --input")


def _load(folder: Path, label: str) -> Any:
    try:
        return import_hub().load(str(folder))
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise SightsoundError(f"{label}: expected a SavedModel, got: {reason}; is it complete?") from error
