"""What attackers, broken disks and hasty exports do to files of sources: records or one clear error, and nothing lost unlisted."""

import csv
import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upath import UPath

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Articles, Document, Files, Mimic3Notes, MimicNotes, PubMed, Rejection, Source, opening, xml_stream
from clinical_modernbert.sources.opening import Location

ARTICLE = "<Article><ArticleTitle>A{0}</ArticleTitle></Article>"
CITATION = f"<PubmedArticle><MedlineCitation><PMID>{{0}}</PMID>{ARTICLE}</MedlineCitation></PubmedArticle>"
RECORDS = {
    "a.jsonl": lambda n: "".join(json.dumps({"text": f"note {i}"}) + "\n" for i in range(n)),
    "a.csv": lambda n: "id,text\n" + "".join(f'{i},"note\n{i}"\n' for i in range(n)),
    "a.xml": lambda n: f"<PubmedArticleSet>{''.join(CITATION.format(i) for i in range(n))}</PubmedArticleSet>",
    "a.nxml": lambda n: f"<pmc-articleset>{'<article><body><p>Text.</p></body></article>' * n}</pmc-articleset>",
    "discharge.csv": lambda n: "note_id,subject_id,text\n" + "".join(f'{i}-DS-1,{i},"note\n{i}"\n' for i in range(n)),
    "NOTEEVENTS.csv": lambda n: "ROW_ID,SUBJECT_ID,CATEGORY,TEXT\n" + "".join(f'{i},{i},ECG,"note\n{i}"\n' for i in range(n)),
}
KINDS = [*RECORDS, *(f"{name}.gz" for name in RECORDS)]
HIDDEN = "mellitus"


def source_of(path: Location) -> Source:
    """The source that reads files of this name."""
    named = {"discharge": MimicNotes, "NOTEEVENTS": Mimic3Notes}.get(path.name.partition(".")[0])
    if named:
        return named(path.parent)
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    return {"xml": PubMed, "nxml": Articles}.get(suffix, Files)(path)  # type: ignore[operator, no-any-return]


def read(path: Location) -> list[object]:
    return list(source_of(path).read(path))


def read_what_can_be(path: Location) -> tuple[list[object], str]:
    """The records, and the message of the error that ended them."""
    seen: list[object] = []
    try:
        seen.extend(source_of(path).read(path))
    except DataError as error:
        return seen, str(error)
    return seen, ""


def write(folder: Location, name: str, content: bytes | str) -> Location:
    content = content.encode() if isinstance(content, str) else content
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    return folder / name


@pytest.mark.parametrize("name", [name for name in KINDS if name.endswith(".gz")])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.6, 0.999])
def test_a_truncated_gzip_gives_what_came_before_then_one_error(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    packed = gzip.compress(RECORDS[name.removesuffix(".gz")](5000).encode(), 0)
    path.write_bytes(packed[: int(len(packed) * keep)])
    seen: list[object] = []
    with pytest.raises(DataError, match=r"cut-off gzip file \(.*\)\. Fetch it again\."):
        seen.extend(source_of(path).read(path))
    assert len(seen) >= 5000 * keep - 1000


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("change", ["touched", "longer", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, name: str, change: str) -> None:
    path = write(tmp_path, name, RECORDS[name.removesuffix(".gz")](3))
    records = source_of(path).read(path)
    assert isinstance(next(records), Document)
    if change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "longer":
        with open(path, "ab") as file:
            file.write(b"\n")
    else:
        os.remove(path)
    with pytest.raises(DataError, match=r"changed while it was read|cannot be read|damaged or cut-off|not well-formed"):
        list(records)


@pytest.mark.parametrize("name", ["a.parquet", "a.txt"])
def test_a_file_read_at_once_that_changed_meanwhile_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        pl.DataFrame({"text": ["a"]}).write_parquet(path)
    else:
        path.write_text("a")
    stamps = iter(range(100))
    monkeypatch.setattr(opening, "stamp", lambda path: {"size": next(stamps)})
    with pytest.raises(DataError, match="changed while it was read"):
        read(path)


def test_a_folder_that_changes_while_it_is_read_loses_one_file_with_an_error(tmp_path: Path) -> None:
    for name in ("1.txt", "2.txt", "3.txt"):
        write(tmp_path, name, name)
    source = Files(tmp_path)
    listed = source.files()
    os.remove(tmp_path / "2.txt")
    seen = [record for path in (listed[0], listed[2]) for record in source.read(path)]
    assert len(seen) == 2
    with pytest.raises(DataError, match=r"cannot be read: No such file or directory \(.*2\.txt\)"):
        list(source.read(listed[1]))


BOMBS = {
    "a.jsonl.gz": b'{"text": "',
    "a.csv.gz": b"id,text\n1,",
    "quoted.csv.gz": b'id,text\n1,"',
    "lines.csv.gz": b'id,text\n1,"',
    "header.csv.gz": b"",
    "a.xml.gz": b"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>",
    "discharge.csv.gz": b'note_id,subject_id,text\n1,2,"',
    "NOTEEVENTS.csv.gz": b'ROW_ID,SUBJECT_ID,CATEGORY,TEXT\n1,2,ECG,"',
}
PEAK = """
import re
from pathlib import Path
from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import {kind}
try:
    source = {kind}(Path({path!r}))
    print(sum(1 for path in source.files() for record in source.read(path)), "records")
except DataError as error:
    print(error)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
LIMIT_MIB = 200


def peak_of_reading(path: Path) -> tuple[str, int]:
    """What reading says, and the most memory in MiB that a process held for it."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc to see the peak of one process")
    source = source_of(path)
    code = PEAK.format(kind=type(source).__name__, path=str(source.path))  # type: ignore[attr-defined]
    message, peak = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip().split("\n")
    return message, int(peak) // 1024


@pytest.mark.parametrize("name", BOMBS)
def test_a_gzip_bomb_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    member = gzip.compress((b"\n" if name == "lines.csv.gz" else b"a") * 2**24)
    (tmp_path / name).write_bytes(gzip.compress(BOMBS[name]) + member * 20)
    assert (tmp_path / name).stat().st_size < 2**20
    message, peak = peak_of_reading(tmp_path / name)
    assert "again." in message or "Break it up." in message
    assert peak < LIMIT_MIB


@pytest.mark.parametrize("name", ["a.jsonl.gz", "discharge.csv.gz", "a.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    peaks = []
    for size in (20_000, 200_000):
        texts = [f"{i} " + "note " * 100 for i in range(size)]
        if name == "a.parquet":
            pl.DataFrame({"text": texts}).write_parquet(tmp_path / name, row_group_size=5000)
        elif name == "a.jsonl.gz":
            write(tmp_path, name, "".join(f'{{"text": "{text}"}}\n' for text in texts))
        else:
            write(tmp_path, name, "note_id,subject_id,text\n" + "".join(f"{i},{i},{text}\n" for i, text in enumerate(texts)))
        message, peak = peak_of_reading(tmp_path / name)
        assert message == f"{size} records"
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.3 + 20


@pytest.mark.parametrize("name", ["a.xml", "a.nxml"])
def test_xml_without_an_end_of_an_element_is_refused_before_it_fills_the_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xml_stream, "MAX_LINE_BYTES", 100_000)
    fitting = RECORDS[name](3000)
    assert len(read(write(tmp_path, name, fitting))) == 3000
    root = fitting[: fitting.index(">") + 1]
    with pytest.raises(DataError, match=r"an element of more than 100,000 bytes \(.*\)\. Break it up\."):
        read(write(tmp_path, name, root + "<x/>" * 50_000))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "ok"}\n{"text": "mellitus \xe9"}\n{"text": "ok"}\n'),
        ("a.jsonl", b'{"text": "ok"}\n{"text": "mellitus \\u0000"}\n{"text": "ok"}\n'),
        ("a.jsonl", b'{"text": "ok"}\n\x1f\x8b\x08mellitus\n{"text": "ok"}\n'),
        ("a.csv", b"id,text\n1,ok\n2,mellitus \xe9\n3,ok\n"),
        ("a.csv", b"id,text\n1,ok\n2,mellitus\0\n3,ok\n"),
        ("a.csv", b"id,text\n1,ok\n2,mellitus,more\n3,ok\n"),
        ("discharge.csv", b"note_id,subject_id,text\n1,1,ok\n2,2,mellitus \xe9\n3,3,ok\n"),
        ("NOTEEVENTS.csv", b"ROW_ID,SUBJECT_ID,CATEGORY,TEXT\n1,1,ECG,ok\n2,2,ECG,mellitus\0\n3,3,ECG,ok\n"),
    ],
)
def test_one_bad_record_is_listed_by_its_number_and_its_neighbours_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    first, bad, last = read(write(tmp_path, name, content))
    assert isinstance(first, Document)
    assert isinstance(bad, Rejection)
    assert isinstance(last, Document)
    assert bad.where in ("line 2", "row 2")
    assert HIDDEN not in str(bad)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "discharge.csv", "NOTEEVENTS.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp037"])
def test_another_encoding_gives_no_document_and_no_word_of_the_text(tmp_path: Path, name: str, encoding: str) -> None:
    content = RECORDS.get(name, lambda n: "mellitus" * n)(3).replace("note", HIDDEN)
    records, message = read_what_can_be(write(tmp_path, name, content.encode(encoding)))
    assert records or message
    assert all(isinstance(record, Rejection) for record in records)
    assert HIDDEN not in message


@pytest.mark.parametrize("name", ["a.csv", "discharge.csv", "NOTEEVENTS.csv"])
def test_a_quote_that_is_never_closed_is_told_with_its_row(tmp_path: Path, name: str) -> None:
    whole = RECORDS[name](9)
    for row in (1, 5, 9):
        broken = whole.replace(f'"note\n{row - 1}"', f'"note {HIDDEN}\n{row - 1}')
        path = write(tmp_path, name, broken)
        records = source_of(path).read(path)
        seen: list[object] = []
        with pytest.raises(DataError, match=rf"quote.*in row {row} \(.*\)\. Export the table again") as error:
            seen.extend(records)
        assert len(seen) == row - 1
        assert HIDDEN not in str(error.value)


@pytest.mark.parametrize("column", [pl.Series([b"mellitus"]), pl.Series([{"a": "mellitus"}]), pl.Series([["mellitus"]]), pl.Series([3])])
def test_parquet_with_a_wrong_schema_is_one_clear_error(tmp_path: Path, column: pl.Series) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": column}).write_parquet(path)
    with pytest.raises(DataError, match=r"column 'text' holds \w+, not text \(.*\)\. Set text_column\.") as error:
        read(path)
    assert HIDDEN not in str(error.value)


@pytest.mark.parametrize("name", [*KINDS, "a.txt", "a.parquet"])
def test_a_remote_file_gives_the_same_records_as_the_same_bytes_here(tmp_path: Path, name: str) -> None:
    root = UPath("memory://remote")
    path = write(tmp_path, name, RECORDS.get(name.removesuffix(".gz"), lambda n: "text")(20))
    if name == "a.parquet":
        pl.DataFrame({"text": [f"note {i}" for i in range(20)]}).write_parquet(str(path))
    (root / name).write_bytes(path.read_bytes())
    try:
        here, there = (type(source_of(path))(folder) for folder in (tmp_path, root))  # type: ignore[call-arg]
        records = [[record for file in source.files() for record in source.read(file)] for source in (here, there)]
    finally:
        root.fs.rm(root.path, recursive=True)
    assert records[0] == records[1]
    assert len(records[0]) in (1, 20)
    assert all(isinstance(record, Document) for record in records[0])


def test_a_remote_file_that_changes_while_it_is_read_is_refused() -> None:
    path = UPath("memory://remote/a.jsonl")
    path.write_bytes(RECORDS["a.jsonl"](3).encode())
    records = Files(path).read(path)
    next(records)
    path.write_bytes(RECORDS["a.jsonl"](4).encode())
    with pytest.raises(DataError, match="changed while it was read"):
        list(records)
    path.unlink()


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4)), max_size=6)


def mutated(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(content)
    for position, replacement in edits:
        changed[position % len(changed) : position % len(changed) + 1] = replacement
    return bytes(changed)


def real_or_made(request: pytest.FixtureRequest, name: str, real: Callable[[Path], bytes]) -> bytes:
    """The first records of a real public file, where it is here."""
    try:
        return real(request.getfixturevalue("shared_data"))
    except pytest.skip.Exception:
        return RECORDS[name](30).encode()


def first_lines(path: Path) -> bytes:
    with gzip.open(path) as stream:
        return b"".join(stream.readline() for _ in range(8))


def first_rows(path: Path, columns: dict[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns.values())
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        writer.writerows([row[column][:400] for column in columns] for row, _ in zip(csv.DictReader(stream), range(12), strict=False))
    return text.getvalue().encode()


@pytest.fixture(scope="module")
def fuzzed(request: pytest.FixtureRequest) -> dict[str, bytes]:
    columns = {name: name for name in ("note_id", "subject_id", "text")}
    reports = {"note_id": "id", "transcription": "text"}
    events = {"note_id": "ROW_ID", "subject_id": "SUBJECT_ID", "note_type": "CATEGORY", "text": "TEXT"}
    layout = "mimic-iv-note-layout/note/discharge.csv.gz"
    return {
        "a.jsonl": real_or_made(request, "a.jsonl", lambda data: first_lines(data / "notes/e3c_cases.jsonl.gz")),
        "a.csv": real_or_made(request, "a.csv", lambda data: first_rows(data / "notes/mtsamples.csv.gz", reports)),
        "discharge.csv": real_or_made(request, "discharge.csv", lambda data: first_rows(data / layout, columns)),
        "NOTEEVENTS.csv": real_or_made(request, "NOTEEVENTS.csv", lambda data: first_rows(data / layout, events)),
    }


def rows_of(content: bytes, name: str) -> int:
    """How many records a second reader finds."""
    if name == "a.jsonl":
        return sum(bool(line.strip()) for line in content.split(b"\n"))
    text = content.decode("utf-8-sig", errors="replace")
    return sum(bool(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)) - 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["a.jsonl", "a.csv", "discharge.csv", "NOTEEVENTS.csv"]), edits=EDITS, packed=st.booleans())
def test_damaged_real_files_give_every_record_or_one_error(
    tmp_path: Path, fuzzed: dict[str, bytes], name: str, edits: list[tuple[int, bytes]], packed: bool
) -> None:
    content = mutated(fuzzed[name], edits)
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    seen, message = read_what_can_be(path)
    assert str(path) in message if message else len(seen) == rows_of(content, name)
    for record in seen:
        assert isinstance(record, Document | Rejection)
        if isinstance(record, Document):
            (record.id + record.text + record.metadata_json() + str(record.patient)).encode()


@pytest.mark.parametrize("seed", range(60))
def test_damaged_parquet_gives_documents_or_one_error(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": [f"note {i} " * 9 for i in range(300)]}).write_parquet(path, row_group_size=100)
    generator, content = random.Random(seed), path.read_bytes()
    near_the_end = [len(content) - generator.randrange(1, 600) for _ in range(2)]
    edits = [(position, generator.randbytes(1)) for position in (generator.randrange(len(content)), *near_the_end)]
    path.write_bytes(mutated(content, edits[: 1 + seed % 3]))
    seen, message = read_what_can_be(path)
    assert len(seen) == 300 or str(path) in message
    assert all(isinstance(record, Document) for record in seen)
