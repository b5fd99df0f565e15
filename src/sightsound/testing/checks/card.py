"""Checks of the card: its JSON, what is unusual on it, its options and its weight files."""

from __future__ import annotations

from sightsound.contract.card import Card
from sightsound.contract.errors import MissingWeights, SightsoundError, UnknownModel
from sightsound.contract.options import Option, Value, with_option
from sightsound.contract.space import Space
from sightsound.testing.subject import NotApplicable, Subject


def card_survives_json(subject: Subject) -> str | None:
    """Check that the card written as JSON and read again is the same card."""
    card = subject.card
    advice = "use Python's own str, int, float and tuples, not NumPy numbers or lists"
    try:
        again = Card.from_json(card.to_json())
    except (TypeError, ValueError) as error:
        raise AssertionError(f"card: expected JSON, got {error}; {advice}") from error
    wrong = [field for field in vars(card) if getattr(again, field) != getattr(card, field)]
    assert not wrong, f"card: {', '.join(wrong)}: expected the same after JSON; {advice}"
    return None


def card_is_usual(subject: Subject) -> str | None:
    """Check that nothing on the card is unusual; what is, is a remark and no failure."""
    card, remarks = subject.card, []
    if "." not in card.name.partition("[")[0]:
        remarks.append(f"name: {card.name!r} has no tag; arch.tag says which weights these are")
    if card.window and card.hop and card.hop > card.window:
        gap = card.hop - card.window
        remarks.append(f"hop: {card.hop} exceeds window {card.window}, so {gap} samples between windows are not heard")
    if not card.license:
        remarks.append("license: none stated")
    unknown = [file.name for file in card.weights if not file.sha256 and not file.git_blob]
    if unknown:
        remarks.append(f"weights: {', '.join(unknown)} has no hash, so the first file that is fetched is believed")
    return "; ".join(remarks) or None


def options_resolve(subject: Subject) -> str | None:
    """Check that every option has a help text, and gives a card with the option in its name and another number."""
    card, untried = subject.card, []
    if not card.options:
        raise NotApplicable("the card has no options")
    if card.name.endswith("]"):
        raise NotApplicable("checked for the network without options")
    for option in card.options:
        assert option.help.strip(), (
            f"option {option.name!r}: expected a help text, got none; say what it does, in one line"
        )
        value = _value(option)
        if value is None:
            untried.append(f"{option.name} (any text)")
        elif refusal := _check_resolves(subject, option, value):
            untried.append(refusal)
    return f"not tried: {', '.join(untried)}" if untried else None


def weights_are_as_declared(subject: Subject) -> str | None:
    """Check that the weight files have the sizes that the card states."""
    card, store = subject.card, subject.host.weights
    if not card.weights:
        raise NotApplicable("the card has no weights")
    for file in card.weights:
        try:
            found = store.find(file)
        except MissingWeights as error:
            raise NotApplicable(str(error)) from error
        if found is None or not file.size or (file.name in store.named and not found.known):
            continue  # files that the user gives may have another size
        size = found.path.stat().st_size
        assert size == file.size, (
            f"weights: {file.name}: expected {file.size} bytes as on the card, got {size}; correct `size`: a "
            "larger download is refused, and `sightsound weights list` reports it"
        )
    return None


def _value(option: Option) -> Value | None:
    """Return a value to try that is not the default; None if only the author knows one."""
    found: list[Value] = [option.type(bound) for bound in (option.low, option.high) if bound is not None]
    if option.type is bool:
        found = [True]
    elif option.choices:
        found = list(option.choices)
    return next((value for value in found if value != option.default), None)


def _check_resolves(subject: Subject, option: Option, value: Value) -> str:
    """Raise for an option that gives no card or the same card; return why the plugin refuses it alone, or ""."""
    name = with_option(subject.card.name, option, value)
    try:
        got = subject.host.card(name)
    except UnknownModel as error:
        return f"{option.name} ({error})"
    except SightsoundError as error:
        raise AssertionError(
            f"option {option.name!r}: expected a card for {name}, got: {error}; resolve_embedder answers for the "
            "options on the card"
        ) from error
    assert got.name == name, f"option {option.name!r}: expected the card of {name}, got that of {got.name}"
    assert Space.of(got, {}).facts != Space.of(subject.card, {}).facts, (
        f"option {option.name!r}: expected another card for {name}, got the numbers of the one without it; put what "
        "the option changes into `constants` (or `hop`, `dim`, ...), or rows of both would pass for the same"
    )
    return ""
