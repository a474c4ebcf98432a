"""In: files of a data set in one of `formats`. Out: their documents; what cannot be read of them is counted. Next: `loaders`."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from clinical_modernbert import formats
from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def read_each(folder: DataFolder, files: Iterable[Path], format: str, counted: Counter[str]) -> list[AnnotatedDocument]:
    """The documents of files, one or more of each; an annotation that cannot be read is left out, and counted by its reason.

    Raises:
        DataError: nothing of a file can be read.
    """
    found: list[AnnotatedDocument] = []
    for file in files:
        refusals: list[formats.Refusal] = []
        documents = list(formats.open(file, format, refusals.append))
        if not documents:
            reason, where = (refusals[0].reason, refusals[0].where) if refusals else ("nothing in it", "")
            raise folder.damaged(file, reason, where)
        found += documents
        counted.update(f"not read: {refusal.reason}" for refusal in refusals)
    return found
