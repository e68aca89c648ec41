"""The error tree. A message says what was wrong, where, and what to do next; the command line prints it on one line."""

MOST_CHARACTERS = 1500  # of a message, which may quote what it refuses


class CezsarError(Exception):
    """Root of every error this package raises on purpose."""

    def __str__(self) -> str:
        told = super().__str__()
        return told if len(told) <= MOST_CHARACTERS else f"{told[: MOST_CHARACTERS - 300]} ... {told[-250:]}"


class InputError(CezsarError):
    """Something the user gave (a value, a label list, a path) cannot be used."""


class VideoError(InputError):
    """A clip cannot be decoded, or decoding it broke the time or memory bound."""


class FormatError(InputError):
    """A file is not in the format it should be in: annotations, captions, descriptions, runs, stores."""


class MismatchError(InputError):
    """Two things that must belong together do not, such as a store and a run made with different encoders."""


class MissingWeightsError(CezsarError):
    """An encoder's weights are not on this machine and could not be fetched."""


# What the parts of a damaged file raise where they are used: beside a `CezsarError`, these are damage, not a fault.
DAMAGED = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError)
