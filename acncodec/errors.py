"""Every error that acncodec raises on purpose: one class a cause, each with its exit code.

The message is one sentence that says what is wrong and, where there is one, the way out.
"""

EXIT_USAGE = 2
EXIT_UNMODELLED = 3
EXIT_DAMAGED = 4
EXIT_UNSUPPORTED = 5
EXIT_INEXACT = 6
EXIT_INTERRUPTED = 130


class AcnError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line ends with."""

    exit_code = EXIT_USAGE


class InputError(AcnError):
    """The given input cannot be read or is not what the command needs."""


class OutputError(AcnError):
    """The output cannot be written, or exists already and may not be overwritten."""


class DamagedError(AcnError):
    """An archive's bytes are not what was written: a checksum, a length or a pixel hash is wrong."""

    exit_code = EXIT_DAMAGED


class UnsupportedError(AcnError):
    """An archive or a model needs a version or feature that this program does not know."""

    exit_code = EXIT_UNSUPPORTED


class ModelMissingError(UnsupportedError):
    """The model that an archive names by its sha256 was not found."""


class ModelError(UnsupportedError):
    """A model file cannot be used: damaged, incomplete or not made for this program."""


class BoundError(ModelError):
    """A linear map could leave the range in which float32 sums of integers are exact (|sum| < 2^24)."""


class ExactnessError(AcnError):
    """This machine's arithmetic failed the self-test; nothing is coded, since it could not be trusted."""

    exit_code = EXIT_INEXACT
