"""In: a token and its tag a line, an empty line between sentences. Out: documents; and back. Next: `by_name`.

Columns are divided by tabs, or by blanks in a line without tabs; the first is the token, the last its tag in any scheme of `tags`, those
between (part of speech, chunk) stay with the token. There is no text in such a file: it is made of the tokens with one space between
them and a line for each sentence.

`-DOCSTART-` begins a document, its id in brackets behind it if it has one (`-DOCSTART- (1)`, as in AIDA's CoNLL), and so does JNLPBA's
`###MEDLINE:95369245`. In a file that does not begin with one each sentence is a document. The layout is that of the CoNLL-2003 task (https://aclanthology.org/W03-0419).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from clinical_modernbert.atomic import write_file
from clinical_modernbert.formats.document import AnnotatedDocument, Ranges, Span, Token
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of, stop
from clinical_modernbert.formats.tags import TokenSpan, decode_tags, encode_tags, is_tag
from clinical_modernbert.formats.text_files import document_id, files_of, numbered_lines

FILE_NAME = "documents.conll"
SUFFIXES = (".conll", ".tsv", ".bio", ".iob", ".iob2")

DOCUMENT = re.compile(r"-DOCSTART-[ \t]+\((.+)\)|###(MEDLINE:[0-9]+)(?:[ \t].*)?|-DOCSTART-(?:[ \t].*)?")
"""A line that begins a document."""

_Sentence: TypeAlias = list[list[str]]
"""The columns of each token."""
_WORD = re.compile(r"\w+|[^\w\s]")


def read(path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The documents of one file, or of all files of this kind below a folder (any `.txt` where there is none), in their order.

    A sentence with a line that cannot be read is refused whole, as its other tokens would be another sentence.

    Raises:
        DataError: no such path, no such files.
    """
    for file in files_of(path, SUFFIXES, (".txt",)):
        for number, (id, sentences) in enumerate(_documents(file, on_refusal), start=1):
            yield _document(id or f"{document_id(file, path)}-{number}", sentences)


def write(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
    """Write all documents to `documents.conll`, in BIO.

    The words of a document without tokens are runs of letters and digits and other single characters, cut where spans begin and end;
    its lines are sentences.
    """

    def fill(aside: Path) -> None:
        with aside.open("wb") as stream:
            for document in documents:
                lines = _lines(document, folder, on_refusal)
                stream.write("".join(f"{line}\n" for line in lines).encode())

    write_file(folder / FILE_NAME, fill)


def columns(line: str) -> list[str]:
    """The columns of one line, whatever white space is behind the last."""
    line = line.rstrip()
    return line.split("\t") if "\t" in line else line.split()


def _documents(file: Path, on_refusal: OnRefusal) -> Iterator[tuple[str, list[_Sentence]]]:
    """The id, if there is one, and the sentences of each document."""
    id = ""
    document: list[_Sentence] | None = None
    for block in _blocks(file, on_refusal):
        if isinstance(block, str):
            if document is not None:
                yield id, document
            id, document = block, []
            continue
        sentence = [columns(line) for _, line in block]
        wrong = [number for (number, _), row in zip(block, sentence, strict=True) if not _is_row(row, len(sentence[0]))]
        if wrong:
            on_refusal(Refusal(str(file), f"line {wrong[0]}", "no token with a tag, or not as many columns as the sentence's first line"))
        elif document is None:
            yield "", [sentence]
        else:
            document.append(sentence)
    if document is not None:
        yield id, document


def _is_row(row: Sequence[str], width: int) -> bool:
    return len(row) == width > 1 and row[0] != "" and is_tag(row[-1])


def _blocks(file: Path, on_refusal: OnRefusal) -> Iterator[str | list[tuple[int, str]]]:
    """Where a document begins its id or an empty text, and the numbered lines of each sentence."""
    lines: list[tuple[int, str]] = []
    try:
        for number, line in numbered_lines(file):
            start = DOCUMENT.fullmatch(line)
            if lines and (start or not line.strip()):
                yield lines
                lines = []
            if start:
                yield start[1] or start[2] or ""
            elif line.strip():
                lines.append((number, line))
    except Refused as refused:  # the sentence that it stands in would not be whole
        on_refusal(refused.at(file))
    else:
        if lines:
            yield lines


def _document(id: str, sentences: Sequence[_Sentence]) -> AnnotatedDocument:
    tokens: list[Token] = []
    found: list[tuple[int, int, str]] = []
    ranges: list[tuple[int, int]] = []
    for sentence in sentences:
        first = len(tokens)
        for word, *others, _ in sentence:
            start = tokens[-1].end + 1 if tokens else 0
            tokens.append(Token(start, start + len(word), tuple(others)))
        ranges.append((first, len(tokens)))
        for start, end, label in decode_tags([row[-1] for row in sentence]):
            found.append((tokens[first + start].start, tokens[first + end - 1].end, label))
    text = "\n".join(" ".join(row[0] for row in sentence) for sentence in sentences)
    spans = tuple(Span.over(text, f"T{number}", label, (start, end)) for number, (start, end, label) in enumerate(found, start=1))
    return AnnotatedDocument(id, text, spans, tokens=tuple(tokens), sentences=tuple(ranges))


def _lines(document: AnnotatedDocument, folder: Path, on_refusal: OnRefusal) -> Iterator[str]:
    """The lines of one document, none if it cannot be written."""
    tokens, sentences = (document.tokens, document.sentences or ((0, len(document.tokens)),)) if document.tokens else _words(document)
    words = [document.text[token.start : token.end] for token in tokens]
    start = f"-DOCSTART- ({document.id})"
    named = DOCUMENT.fullmatch(start)
    cells = (cell for word, token in zip(words, tokens, strict=True) for cell in (word, *token.columns))
    if not named or named[1] != document.id or any(set(cell) & set("\t\r\n") or DOCUMENT.fullmatch(cell) for cell in cells):
        on_refusal(part_of(folder, document)("an id or a token that CoNLL cannot have"))
        return
    for item in document.annotations():
        if not isinstance(item, Span):
            on_refusal(part_of(folder, document, item)("CoNLL has spans only"))
    spans = list(_token_spans(document, tokens, sentences, folder, on_refusal))
    yield from (start, "")
    for first, last in sentences:
        inside = [TokenSpan(one - first, end - first, label) for one, end, label in spans if first <= one < last]
        for index, tag in enumerate(encode_tags(inside, last - first), start=first):
            yield "\t".join((words[index], *tokens[index].columns, tag))
        yield ""


def _words(document: AnnotatedDocument) -> tuple[Sequence[Token], Ranges]:
    """Tokens for a text that has none."""
    edges = sorted({edge for span in document.spans for edge in (span.start, span.end)})
    tokens: list[Token] = []
    sentences: list[tuple[int, int]] = []
    for line in re.finditer(r"[^\n]+", document.text):
        first = len(tokens)
        for word in _WORD.finditer(document.text, line.start(), line.end()):
            cuts = edges[bisect_right(edges, word.start()) : bisect_left(edges, word.end())]
            tokens += [Token(start, end) for start, end in pairwise((word.start(), *cuts, word.end()))]
        if len(tokens) > first:
            sentences.append((first, len(tokens)))
    return tokens, tuple(sentences)


def _token_spans(
    document: AnnotatedDocument, tokens: Sequence[Token], sentences: Ranges, folder: Path, on_refusal: OnRefusal
) -> Iterator[TokenSpan]:
    """The spans as ranges of tokens; of those that overlap the one that begins first, or else is longest."""
    starts = {token.start: index for index, token in enumerate(tokens)}
    ends = {token.end: index + 1 for index, token in enumerate(tokens)}
    sentence_of = {index: number for number, (first, last) in enumerate(sentences) for index in range(first, last)}
    free = 0
    for span in sorted(document.spans, key=lambda span: (span.start, -span.end)):
        start, end = starts.get(span.start), ends.get(span.end)
        if len(span.fragments) > 1 or start is None or end is None:
            fault = "discontinuous, or does not begin and end with a token"
        elif sentence_of[start] != sentence_of[end - 1]:
            fault = "goes over the end of a sentence"
        elif start < free:
            fault = "overlaps another span"
        elif not is_tag(f"B-{span.label}" if span.label else "B") or set(span.label) & set("\t\r"):
            fault = "a label that no tag can have"
        else:
            free = end
            yield TokenSpan(start, end, span.label)
            continue
        on_refusal(part_of(folder, document, span)(fault))
