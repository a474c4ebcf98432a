"""In: what went wrong. Out: exceptions whose message a user can act on. Next: `cli/main.py` prints them on one line.

A message reads `WHAT (WHERE). WHAT TO DO` and carries ids, lengths or hashes, never the text of a document.
"""


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
