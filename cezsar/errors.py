"""The error tree. A message says what was wrong, where, and what to do next; the command line prints it on one line."""


class CezsarError(Exception):
    """Root of every error this package raises on purpose."""


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
