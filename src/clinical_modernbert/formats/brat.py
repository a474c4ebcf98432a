"""In: BRAT's standoff, a `.txt` beside its `.ann`. Out: documents; and back. Next: `by_name`.

The layout is that of http://brat.nlplab.org/standoff.html: text-bound annotations (`T`, discontinuous with `;`), relations (`R`), events
(`E`), equivalences (`*`), attributes (`A`, `M`), links to vocabularies (`N`, also as the BioNLP shared task of 2013 spells them) and
notes (`#`). Annotations may instead be spread over `.a1`, `.a2`, `.co` and `.rel` files, as in the BioNLP shared tasks. n2c2 2018 track 2
(adverse drug events) comes in this format.

Offsets count the characters of the `.txt` file, a Windows line end being two. Of a span's own text only the words are compared with the
document, as programs differ in the white space that they write there; where a line break inside a span was written as it is, the
annotation goes on in the next line of the file. Document labels, and relations between concepts, have no place in this format.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_modernbert.formats.brat_lines import missing_text, parsed, written
from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Relation, Span
from clinical_modernbert.formats.references import without_dangling
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of, stop
from clinical_modernbert.formats.text_files import document_id, files_beside, log_left_out, read_text, write_document

JOINED = ".ann"
SUFFIXES = (".txt", JOINED, ".a1", ".a2", ".co", ".rel")

_START = re.compile(r"([TREAMN#][0-9]{1,9}|\*)\t(.*)")


def read(path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The documents of one pair of files, or of all pairs below a folder, sorted by their path, which is their id.

    An annotation that cannot be read is refused, and with it what names it; a file without its other half is refused whole.

    Raises:
        DataError: no such path, no such files.
    """
    for text_file, annotation_files in _pairs(path, on_refusal):
        try:
            text = read_text(text_file)
            lines = [line for file in annotation_files for line in _lines(file, on_refusal)]
        except Refused as refused:
            on_refusal(refused.at(text_file))
        else:
            yield _document(document_id(text_file, path), text, lines, on_refusal)


def write(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
    """Write `ID.txt` and `ID.ann` for each document; ids that BRAT cannot have are numbered anew, tokens are not written."""
    for document in documents:
        try:
            write_document(folder, document.id, ".txt", document.text)
            write_document(folder, document.id, JOINED, "".join(f"{line}\n" for line in written(document, folder, on_refusal)))
        except Refused as refused:
            on_refusal(part_of(folder, document)(refused.reason))


def _pairs(path: Path, on_refusal: OnRefusal) -> Iterator[tuple[Path, list[Path]]]:
    """Each text file with its annotation files."""
    files = files_beside(path, SUFFIXES)
    halves: dict[Path, list[Path]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (file.with_suffix("").as_posix(), SUFFIXES.index(file.suffix.lower()))):
        halves[file.with_suffix("")].append(file)
    for text_file, *annotations in halves.values():
        if text_file.suffix.lower() != ".txt":
            on_refusal(Refusal(str(text_file), "the whole file", "no .txt file beside it"))
        elif not annotations:
            on_refusal(Refusal(str(text_file), "the whole file", "no .ann file beside it"))
        else:
            joined = annotations[0].suffix.lower() == JOINED
            log_left_out(text_file, annotations[1:] if joined else ())
            yield text_file, annotations[:1] if joined else annotations


@dataclass(frozen=True, slots=True)
class _Line:
    """One annotation and where it stands."""

    path: Path
    number: int
    id: str
    parts: list[str]

    @property
    def data(self) -> str:
        return "\n".join(self.parts)

    def refusal(self, reason: str) -> Refusal:
        return Refusal(str(self.path), f"line {self.number}, {self.id}", reason)


def _lines(path: Path, on_refusal: OnRefusal) -> list[_Line]:
    """The annotations of one file; one whose text is shorter than its ranges takes the lines behind it that start no annotation."""
    try:
        content = read_text(path).removeprefix("\ufeff")
    except Refused as refused:
        raise Refused(f"its {path.suffix} file: {refused.reason}") from None
    lines: list[_Line] = []
    missing = 0
    for number, raw in enumerate(content.split("\n"), start=1):
        line = raw.removesuffix("\r")
        if start := _START.fullmatch(line):
            lines.append(_Line(path, number, start[1], [start[2]]))
            missing = missing_text(start[1], start[2])
        elif missing > 0:
            lines[-1].parts.append(line)
            missing -= len(line) + 1
        elif line.strip():
            on_refusal(Refusal(str(path), f"line {number}", "not an annotation"))
    return lines


def _document(id: str, text: str, lines: Sequence[_Line], on_refusal: OnRefusal) -> AnnotatedDocument:
    spans: list[Span] = []
    others: list[tuple[_Line, Relation | Attribute]] = []
    known: set[str] = set()
    for line in lines:
        try:
            if line.id in known:
                raise Refused("its id came before")
            item = parsed(line.id, line.data, text)
        except Refused as refused:
            on_refusal(line.refusal(refused.reason))
        else:
            known.update({line.id} - {"*"})
            if isinstance(item, Span):
                spans.append(item)
            else:
                others.append((line, item))
    kept = list(without_dangling([(line.refusal, item) for line, item in others], known, on_refusal))
    return AnnotatedDocument(
        id,
        text,
        tuple(spans),
        tuple(item for item in kept if isinstance(item, Relation)),
        tuple(item for item in kept if isinstance(item, Attribute)),
    )
