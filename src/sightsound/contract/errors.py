"""What can go wrong, in one line each: *thing: expected, got; next step.*

Everything the package raises on purpose is a `SightsoundError`. The command line prints its text and
leaves with exit code 2; a traceback is a bug of ours (or of a plugin, which is then named).
"""


class SightsoundError(Exception):
    """The user, a file or a plugin did something that cannot be carried out; the text says what and what next."""


class UnknownModel(SightsoundError):
    """No embedder of that name; the text suggests the nearest."""


class UnknownClass(SightsoundError):
    """No class of that name or id; the text suggests the nearest."""


class PluginError(SightsoundError):
    """A plugin broke its contract: a bad card, a wrong shape, a stage that raised."""


class MediaError(SightsoundError):
    """A file cannot become pixels or samples."""


class NotMedia(MediaError):
    """By its content the file is neither a picture nor a sound that we know."""


class MissingWeights(SightsoundError):
    """A weight file is in none of the places, or is not the file that it should be."""


class SpaceMismatch(SightsoundError):
    """Vectors of two spaces were about to meet; the text shows field by field how they differ."""


class LibraryError(SightsoundError):
    """A library cannot be opened, is busy, is full, is newer than this program, or is damaged."""
