"""In: what went wrong. Out: exceptions whose message a user can act on. Next: `cli/main.py` prints them on one line.

A message reads `WHAT (WHERE). WHAT TO DO` and carries ids, lengths or hashes, never the text of a document.
"""

import errno
import re
import traceback


class ClinicalModernBertError(Exception):
    """A mistake that the user can put right; shown without a traceback."""


class ConfigError(ClinicalModernBertError, ValueError):
    """A setting or an argument that cannot be honoured."""


class DataError(ClinicalModernBertError, ValueError):
    """An input file, folder or record that cannot be read as what it should be."""


class CheckpointError(ClinicalModernBertError):
    """A checkpoint, model folder or run folder that is incomplete, damaged or of another run."""


class TrainingError(ClinicalModernBertError):
    """A run that had to stop, such as a non-finite loss."""


def errno_of(error: BaseException) -> int | None:
    """The operating system's error number; libraries written in Rust keep it in the text alone."""
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def frames(error: BaseException) -> str:
    """Where an error came from, without its message, which may quote a document."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
