"""What can go wrong, sorted by who can put it right."""

from numbers import Integral


class UserError(ValueError):
    """Something the user gave cannot be used; the message names the value and the remedy. Exit code 2."""


class ModelChanged(UserError):
    """An attack changed the model's weights: whatever is measured from here on is of another model. Exit code 2."""


class TrainingDiverged(RuntimeError):
    """The loss stopped being a finite number; the message names the epoch, the step and the remedy. Exit code 1."""


class AttackFailed(RuntimeError):
    """The attack of this name left nothing that could be judged. Exit code 1."""

    def __init__(self, message: str, attack: str = ""):
        super().__init__(message)
        self.attack = attack


class AttackCheated(AttackFailed):
    """An attack handed back images its threat model does not allow."""


class AttackRaised(AttackFailed):
    """An attack of one's own raised an error, and the model under it did not."""


def one_of(what: str, name: str, known) -> None:
    """Refuse a `name` that is not in `known`, listing what is."""
    if name not in known:
        raise UserError(f"unknown {what} {name!r}: choose from {', '.join(known)}")


def at_least_one(**counts: object) -> None:
    """Refuse, by name, what is no whole number or below 1; None stands for a count that was not given."""
    for name, count in counts.items():
        if count is not None and not isinstance(count, Integral):
            raise UserError(f"{name} must be a whole number, got {count!r}")
        if count is not None and count < 1:
            raise UserError(f"{name} must be at least 1, got {count}")
