"""Options in the name of a model: `yamnet.audioset_i8[hop=0.24]`. A card declares those that its network has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sightsound.contract.errors import PluginError, UnknownModel
from sightsound.contract.paths import nearest

Value = bool | int | float | str
TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Option:
    """An option that the name of a model may have.

    Parameters
    ----------
    name : str
        The name in the brackets.
    type : {bool, int, float, str}
        What the value is. An option of type bool has no value: `[pca]`.
    low, high : float or None
        The smallest and the largest number.
    step : float or None
        Numbers must be multiples of it.
    choices : tuple of str
        The texts that are allowed; empty for any.
    default : bool, int, float, str or None
        The value that gives the same model as no option. An option of type bool has none: it is off unless it is named.
    help : str
        What it does and in which unit, in one line.

    Raises
    ------
    PluginError
        If a field is wrong.

    Examples
    --------
    >>> overlap = Option("overlap", float, low=0, high=2.9, help="seconds that windows share")
    >>> overlap.parse("1.50"), overlap.written(1.5)
    (1.5, 'overlap=1.5')
    """

    name: str
    type: type = bool
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    default: Value | None = None
    help: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or set(self.name) & set("[]=, \t\n"):
            raise PluginError(f"option {self.name!r}: expected a name without spaces, commas, brackets and =")
        if self.type not in TYPES.values():
            raise PluginError(f"option {self.name!r}: type: expected bool, int, float or str, got {self.type!r}")
        bounds = [each for each in (self.low, self.high, self.step) if each is not None]
        if bounds and self.type not in (int, float):
            raise PluginError(f"option {self.name!r}: low, high, step: expected for int and float alone")
        if self.choices and self.type is not str:
            raise PluginError(f"option {self.name!r}: choices: expected for str alone")
        self._check_default()

    def _check_default(self) -> None:
        if self.default is None:
            return
        if self.type is bool:
            raise PluginError(f"option {self.name!r}: default: expected none, a bool is off unless named; leave it out")
        try:
            good = self.parse(str(self.default)) == self.default and isinstance(self.default, self.type | int)
        except ValueError as error:
            raise PluginError(f"option {self.name!r}: default: {error}; correct the default or the bounds") from None
        if not good:
            expected = f"{self.type.__name__}, got {self.default!r}"
            raise PluginError(f"option {self.name!r}: default: expected {expected}; correct the default")

    @property
    def expected(self) -> str:
        """What the value must be, in words."""
        if self.type is bool:
            return f"{self.name} without a value"
        if self.type is str:
            return f"{self.name}={'|'.join(self.choices) or 'TEXT'}"
        what = "a whole number" if self.type is int else "a number"
        if self.low is not None and self.high is not None:
            what += f" from {_number(self.low)} to {_number(self.high)}"
        elif self.low is not None or self.high is not None:
            what += f" from {_number(self.low)}" if self.low is not None else f" up to {_number(self.high or 0)}"
        return f"{self.name}={what}" + (f", a multiple of {_number(self.step)}" if self.step else "")

    def parse(self, text: str | bool) -> Value:
        """Return the value for a text of the user, or for True if there was none.

        Raises
        ------
        ValueError
            If it is not what is expected.
        """
        if self.type is bool or text is True:
            if self.type is not bool or text is not True:
                raise ValueError(
                    f"expected {self.expected}, got {self.name if text is True else f'{self.name}={text}'}"
                )
            return True
        assert isinstance(text, str)
        if self.type is str:
            good = bool(text) and (not self.choices or text in self.choices)
            value: Value = text
        else:
            value, good = self._number(text)
        if not good:
            raise ValueError(f"expected {self.expected}, got {self.name}={text}")
        return value

    def written(self, value: Value) -> str:
        """Return how the option is written in the name of a card: `hop=0.24`, or `pca` for a bool."""
        if self.type is bool:
            return self.name
        return f"{self.name}={_number(value) if isinstance(value, float) else value}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; the type by its name."""
        fields = {key: getattr(self, key) for key in ("name", "low", "high", "step", "default", "help")}
        return {**fields, "type": self.type.__name__, "choices": list(self.choices)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Option:
        """Return the option that `to_json` wrote."""
        return cls(**{**fields, "type": TYPES[fields["type"]], "choices": tuple(fields["choices"])})

    def _number(self, text: str) -> tuple[int | float, bool]:
        """Return a number, and whether it is within the bounds and a multiple of the step."""
        try:
            exact = Decimal(text)
            whole = exact.is_finite() and exact == int(exact)
        except InvalidOperation:
            return 0, False
        if not exact.is_finite() or (self.type is int and not whole):
            return 0, False
        inside = all(
            holds
            for bound, holds in (
                (self.low, self.low is None or exact >= Decimal(str(self.low))),
                (self.high, self.high is None or exact <= Decimal(str(self.high))),
                (self.step, self.step is None or exact % Decimal(str(self.step)) == 0),
            )
        )
        return (int(exact) if self.type is int else float(exact)), inside


def parse_options(model: str, declared: Iterable[Option], given: Mapping[str, str | bool]) -> dict[str, Value]:
    """Return the values of the options in the name of a model, in the order in which the options are declared.

    Parameters
    ----------
    model : str
        The name without options, for the error.
    declared : iterable of Option
        The options that the model has.
    given : mapping of str to str or True
        The texts of the user; True for an option without a value.

    Returns
    -------
    dict of str to value
        Without those that are given with their default value.

    Raises
    ------
    UnknownModel
        If an option is not declared or has a wrong value; the text says what is expected.
    """
    known = {option.name: option for option in declared}
    for name in given:
        if name not in known:
            raise UnknownModel(_unknown_option(model, name, list(known)))
    found: dict[str, Value] = {}
    for name, option in known.items():
        if name in given:
            try:
                value = option.parse(given[name])
            except ValueError as error:
                raise UnknownModel(f"{model}: {error}; see `sightsound models {model}`") from None
            if value != option.default:
                found[name] = value
    return found


def with_option(name: str, option: Option, value: Value) -> str:
    """Return the name of a model with an option added behind its others.

    Parameters
    ----------
    name : str
        The name, with or without options.
    option : Option
        The option.
    value : bool, int, float or str
        Its value.

    Returns
    -------
    str
        The name with the option in its brackets.

    Examples
    --------
    >>> with_option("net.tag[hop=0.5]", Option("pca", int), 64)
    'net.tag[hop=0.5,pca=64]'
    """
    written = option.written(value)
    return f"{name[:-1]},{written}]" if name.endswith("]") else f"{name}[{written}]"


def _unknown_option(model: str, name: str, known: list[str]) -> str:
    if not known:
        return f"model {model!r} has no options, got {name!r}; leave the brackets out"
    similar = nearest(name, known)
    advice = f"did you mean {similar!r}?" if similar else f"see `sightsound models {model}`"
    return f"model {model!r} has no option {name!r}, only {', '.join(known)}; {advice}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
