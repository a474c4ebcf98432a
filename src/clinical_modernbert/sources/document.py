"""What every source yields, and what a source is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, Union

from clinical_modernbert.sources.opening import Location

Access = Literal["open", "credentialed"]
Json: TypeAlias = Union[str, int, float, bool, Sequence["Json"], Mapping[str, "Json"], None]


@dataclass(frozen=True, slots=True)
class Document:
    """One text with what is known about it.

    `id` starts with the source's name (`pubmed:31452104`); `patient` groups the documents of one person. A concept of a code
    table carries `concept` (`ICD-10-CM:E11.9`), `name`, `synonyms` (list of text), `definition`, `parents` and `chapter` in its
    metadata, a record with versions `version`, a text of a title and an abstract `abstract_paragraphs` (how many of the paragraphs
    behind the title are the abstract), a note whose diagnoses are known `codes` (list of concepts), one whose day is known `time`
    (ISO 8601: when it was written), a text whose language its source names `language`, an article `retracted` (true or false).
    """

    id: str
    text: str
    source: str
    access: Access
    patient: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)

    def metadata_json(self) -> str:
        """The metadata as one line of JSON, keys in their order."""
        return json.dumps(self.metadata, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record that its publisher withdrew: documents of this id, and its `#language` siblings, that came before are dropped."""

    id: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record of a file that could not be read; `where` is a line or record number or an id, never text."""

    path: str
    where: str
    reason: str


Record = Document | Deletion | Rejection


class Source(Protocol):
    """A place that documents come from. Implementations are frozen pydantic dataclasses, one module each."""

    @property
    def name(self) -> str:
        """Value of `Document.source`, and what reports and mixtures call it."""

    @property
    def access(self) -> Access:
        """Whether the text is public or behind a data use agreement."""

    @property
    def licence(self) -> str:
        """Licence or terms, in a few words, for manifests and model cards."""

    def files(self) -> list[Location]:
        """Input files in the order in which they must be read.

        Raises:
            DataError: the path does not exist or holds no file of this kind.
        """

    def beside(self) -> list[Location]:
        """Files that `read` looks into beside the one that it is given, such as a table of diagnoses.

        Raises:
            DataError: as `files`.
        """

    def read(self, path: Location) -> Iterator[Record]:
        """The records of one file, in order, in bounded memory.

        Raises:
            DataError: the file is damaged; what was yielded before stays valid.
        """
