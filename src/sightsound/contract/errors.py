"""The errors that the package raises on purpose, each with one line of text: *thing: expected, got; next step*.

All derive from `SightsoundError`. The command line prints the text and exits with code 2. Any other exception is a bug
of this package or of a plugin, which is then named.
"""


class SightsoundError(Exception):
    """A request that cannot be carried out because of its arguments, a file or a plugin."""


class UnknownModel(SightsoundError):
    """A model name that no plugin knows; the text suggests the nearest name."""


class NoDefaultModel(UnknownModel):
    """No plugin in use has a default model for images, or for sounds."""


class UnknownClass(SightsoundError):
    """A class name or id that a model does not have; the text suggests the nearest name."""


class PluginError(SightsoundError):
    """A plugin that broke its contract: an invalid card, a wrong shape, a stage that raised an exception."""


class CannotRun(SightsoundError):
    """A runtime's answer to `compile` for a network that it cannot run: the network then runs by itself."""


class MediaError(SightsoundError):
    """A file that cannot be decoded to pixels or samples."""


class NotMedia(MediaError):
    """A file whose content is neither an image nor a sound of a known format."""


class MissingWeights(SightsoundError):
    """A weight file that was not found, or whose content is not the expected one."""


class SpaceMismatch(SightsoundError):
    """Vectors of two spaces that would have been compared; the text lists the fields that differ."""


class LibraryError(SightsoundError):
    """A library that cannot be opened, is locked, is full, is newer than this program, or is damaged."""
