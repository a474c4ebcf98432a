"""Damaged and hostile files of every format: documents, one DataError or a list of refusals, and never anything else."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_i2b2_2010_files import AST, CON, REL, TEXT
from test_i2b2_xml_files import DEID, RECORDS, RISK, TIMES

from clinical_modernbert import formats
from clinical_modernbert.errors import DataError

Files = dict[str, bytes]


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with a few cut, turned, repeated or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 200)))
        put_in = draw(
            st.sampled_from(
                [b"", b"\0", b"\xff", b"\xc3", b"\n", b"\r", b"\t", b"9", b"-1", b"99999999999999999999", b'"', b"|", b"&", b"<"]
            )
        )
        content = draw(
            st.sampled_from([content[:start], content[:start] + put_in + content[end:], content[:end] + put_in + content[start:]])
        )
    return content


def examples(shared_data: Path) -> dict[str, Files]:
    """For each format a few real files, or invented ones where no real ones are public."""
    data, brat = shared_data / "benchmarks", shared_data / "formats" / "brat"
    return {
        "brat": {file.name: file.read_bytes() for file in brat.rglob("PMC1257590.*")},
        "conll": {"x.tsv": (data / "bc2gm" / "devel.tsv").read_bytes()[:3000]},
        "pubtator": {"x.txt": (data / "bc5cdr" / "CDR_TestSet.PubTator.txt").read_bytes()[:6000]},
        "i2b2-2006": {"x.xml": RECORDS.encode()},
        "i2b2-2010": {"x.txt": TEXT.encode(), "x.con": CON.encode(), "x.ast": AST.encode(), "x.rel": REL.encode()},
        "i2b2-xml": {"a.xml": DEID.encode(), "b.xml": RISK.encode(), "c.xml": TIMES.encode()},
    }


@pytest.mark.parametrize("name", formats.FORMATS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_sound_documents_and_a_list_of_the_rest(shared_data: Path, name: str, data: st.DataObject) -> None:
    files = examples(shared_data)[name]
    damaged = data.draw(st.sampled_from(sorted(files)))
    content = data.draw(mutated(files[damaged]))
    refusals: list[formats.Refusal] = []
    with TemporaryDirectory() as folder:
        for file, whole in (files | {damaged: content}).items():
            Path(folder, file).write_bytes(whole)
        documents = list(formats.open(folder, name, refusals.append))
        assert all(not list(document.faults()) for document in documents)
        try:
            strictly, message = list(formats.open(folder, name)), ""
        except DataError as error:
            strictly, message = documents, str(error)
    assert strictly == documents
    assert (message != "") == (refusals != [])
    assert "\n" not in message


@pytest.mark.parametrize("name", formats.FORMATS)
@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_no_other_error(name: str, content: bytes) -> None:
    with TemporaryDirectory() as folder:
        for suffix in ("txt", "ann", "con", "ast", "rel", "xml", "tsv", "pubtator"):
            Path(folder, f"x.{suffix}").write_bytes(content)
        list(formats.open(folder, name, lambda refusal: None))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("brat", {"x.txt": "a" * 2_000_000, "x.ann": "".join(f"T{n}\tX 0 2000000\tb\n" for n in range(1000))}),
        ("brat", {"x.txt": "ab", "x.ann": "T1\tX 0 999999999\ta\n" + "\n" * 300_000}),
        ("brat", {"x.txt": "ab", "x.ann": "".join(f"E{n}\tX:E{n + 1}\n" for n in range(30_000))}),
        ("i2b2-2010", {"x.txt": "a b", "x.con": 'c="' + '" 1:0 1:0||t="' * 5_000 + '"', "x.rel": 'c="' + '" 1:0 1:0||r="' * 5_000 + '"'}),
        ("i2b2-xml", {"x.xml": "<a><TEXT>a</TEXT><TAGS>" + '<A id="x"/>' * 50_000 + "</TAGS></a>"}),
        ("i2b2-xml", {"x.xml": "<a><TEXT>a</TEXT><TAGS>" + "<A>" * 50_000 + "</A>" * 50_000 + "</TAGS></a>"}),
        ("i2b2-xml", {"x.xml": "<a><TEXT>&" + '<PHI TYPE="' * 50_000 + "</TEXT><TAGS/></a>"}),
        ("i2b2-xml", {"x.xml": "<a><TEXT>&" + "<![CDATA[" * 50_000 + "</TEXT><TAGS/></a>"}),
        ("conll", {"x.tsv": "a\tB-X\n" * 100_000}),
        ("pubtator", {"x.txt": "1|t|a\n" + "1\t0\t1\ta\tX\tD1\n" * 50_000}),
    ],
)
@pytest.mark.timeout(20)
def test_a_file_made_to_take_for_ever_does_not(tmp_path: Path, name: str, files: dict[str, str]) -> None:
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    assert len(list(formats.open(tmp_path, name, lambda refusal: None))) in (0, 1)
