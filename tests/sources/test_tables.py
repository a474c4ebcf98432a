import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Rejection, tables
from clinical_modernbert.sources.tables import column_names, named_rows, numbered_rows, require

CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


def write(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6),
    style=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL)]),
    separator=st.sampled_from(",;\t|"),
)
def test_what_csv_writers_write_is_read_back(tmp_path: Path, rows: list[tuple[str, ...]], style: tuple[str, int], separator: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=style[0], quoting=style[1]).writerows([("a", "b", "c"), *rows])
    path = write(tmp_path, text.getvalue(), "t.csv.gz")
    expected = [(i, {k: v or None for k, v in zip("abc", row, strict=True)}) for i, row in enumerate(rows, start=1)]
    assert list(numbered_rows(path)) == expected


def test_a_chosen_column_comes_alone_and_a_byte_order_mark_is_no_part_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufefftext,id\nö,1\n\nü,2\n")
    assert column_names(path) == ["text", "id"]
    assert list(numbered_rows(path, ["text"])) == [(1, {"text": "ö"}), (2, {"text": "ü"})]


def test_a_comma_within_a_name_does_not_separate(tmp_path: Path) -> None:
    assert column_names(write(tmp_path, '"age, years, at admission";text\n71;"a, b"\n')) == ["age, years, at admission", "text"]


def test_a_bad_row_is_rejected_by_number_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b'id,text\n1,one\n2\n3,th,ree\n4,caf\xe9\n5,a\0b\n6,"si\nx"\n7,"\xed\xa0\xbd"\n8,\xf0\x9f\x98\x80\n')
    kept, rejected = [], []
    for item in numbered_rows(path):
        (rejected if isinstance(item, Rejection) else kept).append(item)
    assert kept == [(1, {"id": "1", "text": "one"}), (6, {"id": "6", "text": "si\nx"}), (8, {"id": "8", "text": "😀"})]
    fields, encoding = "another number of fields than the header has", "not UTF-8"
    expected = [("row 2", fields), ("row 3", fields), ("row 4", encoding), ("row 5", "NUL character in the text"), ("row 7", encoding)]
    assert [(r.where, r.reason) for r in rejected if isinstance(r, Rejection)] == expected


@pytest.mark.parametrize(
    ("rows", "row"),
    [('1,one\n2,"open\n3,three\n', 2), ('1,one\n2,"said "no" twice"\n3,x\n', 2), ('1,one\n2,two\n"3,Secret\n4,"four"\n', 3)],
)
def test_a_broken_quote_ends_the_table_at_its_row_without_a_word_of_it(tmp_path: Path, rows: str, row: int) -> None:
    path = write(tmp_path, "id,text\n" + rows)
    seen = []
    with pytest.raises(DataError, match=rf"quote.*in row {row} \(") as error:
        seen.extend(numbered_rows(path))
    assert len(seen) == row - 1
    assert "Secret" not in str(error.value)


def test_a_row_above_the_limit_ends_the_table_at_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_BYTES", 50_000)
    for long in (f"2,{'x' * 70_000}\n", '2,"' + "line\n" * 20_000 + '"\n', '2,"open\n' + "3,x\n" * 20_000):
        seen = []
        with pytest.raises(DataError, match="row 2 has more than 50,000 bytes"):
            seen.extend(numbered_rows(write(tmp_path, "id,text\n1,one\n" + long)))
        assert len(seen) == 1
    assert len(list(numbered_rows(write(tmp_path, "id,text\n" + "1,one\n" * 20_000)))) == 20_000


def test_the_process_wide_limit_of_csv_is_never_lowered(tmp_path: Path) -> None:
    before = csv.field_size_limit(2**30)
    try:
        list(numbered_rows(write(tmp_path, "a\n1\n")))
        assert csv.field_size_limit() == 2**30
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\n\r\n", "an empty file"),
        (b"id,text,id\n1,2,3\n", r"the header repeats a name \(found id\)"),
        ("id,text\n1,é\n".encode("utf-16"), "in the header"),
        ("Größe,text\n".encode("latin-1"), "not UTF-8 in the header"),
    ],
)
def test_a_header_that_is_none_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(numbered_rows(write(tmp_path, content)))


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert list(numbered_rows(write(tmp_path, "id,text"))) == []


def test_a_missing_column_is_named_but_a_row_without_a_header_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no 'text' column \(found id, note\) \(.*t\.csv\)\. Give it\."):
        require(write(tmp_path, "id,note\n"), ["text"], "Give it.")
    for first_row in ("4711,Doe\n", f"Doe,{'pain ' * 30}\n"):
        with pytest.raises(DataError, match="found 2 columns, whose names look like values") as error:
            require(write(tmp_path, first_row), ["text"], "Give it.")
        assert "Doe" not in str(error.value)


def test_columns_are_found_in_capitals_too(tmp_path: Path) -> None:
    path = write(tmp_path, "ROW_ID,Text,OTHER\n1,x,y\n")
    assert list(named_rows(path, ["row_id"], ["text", "time"], "Give it.")) == [(1, {"row_id": "1", "text": "x"})]
    with pytest.raises(DataError, match="no 'note' column"):
        list(named_rows(path, ["note"], [], "Give it."))


def test_parquet_gives_its_rows_in_order_and_only_the_chosen_columns(tmp_path: Path) -> None:
    path = tmp_path / "part[1]*.parquet"
    pl.DataFrame({"id": range(5000), "text": [f"t{i}" for i in range(5000)]}).write_parquet(path, row_group_size=700)
    assert column_names(path) == ["id", "text"]
    assert list(numbered_rows(path, ["text"])) == [(i + 1, {"text": f"t{i}"}) for i in range(5000)]


@pytest.mark.parametrize("values", [[b"bytes"], [{"a": "b"}], [["a"]], [1]])
def test_a_parquet_column_of_another_type_is_one_clear_error(tmp_path: Path, values: list[object]) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"text": values, "kind": pl.Series(["a"], dtype=pl.Categorical), "none": [None]}).write_parquet(path)
    assert require(path, ["kind", "none"], "Give it.", text=["kind", "none"]) == ["text", "kind", "none"]
    with pytest.raises(DataError, match=r"column 'text' holds (Binary|Struct|List|Int64), not text \(.*\)\. Give it\."):
        require(path, ["text"], "Give it.", text=["text"])


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:7], lambda b: b[:-1], lambda b: b[:-8] + b"\xff" * 8, lambda b: b"id,text\n1,2\n"]
)
def test_a_parquet_file_without_its_end_is_one_clear_error(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "t.parquet"
    pl.DataFrame({"text": ["Secret"] * 10}).write_parquet(path)
    path.write_bytes(damage(path.read_bytes()))
    for read in (column_names, lambda path: list(numbered_rows(path))):
        with pytest.raises(DataError, match=r"Parquet.*Fetch or export it again") as error:
            read(path)
        assert "Secret" not in str(error.value)


def test_a_parquet_file_read_in_slices_keeps_every_row_and_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_SLICE_ROWS", 3)
    pl.DataFrame({"a": range(10)}).write_parquet(tmp_path / "t.parquet", row_group_size=4)
    assert list(numbered_rows(tmp_path / "t.parquet")) == [(number, {"a": number - 1}) for number in range(1, 11)]
