import gzip
import json

import pytest

from clinical_modernbert.cli.main import main

SECRET = "Zaphod Beeblebrox"


@pytest.fixture
def config(tmp_path):
    """A corpus of one good file among damaged ones."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "good.jsonl").write_text("".join(json.dumps({"text": f"{SECRET} {i}"}) + "\n" for i in range(30)))
    packed = gzip.compress("".join(json.dumps({"text": f"{SECRET} cut {i} {i**5}"}) + "\n" for i in range(5000)).encode())
    (notes / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (notes / "no_text.csv").write_text(f"id,note\n1,{SECRET}\n")
    pubmed = tmp_path / "pubmed"
    pubmed.mkdir()
    (pubmed / "broken.xml").write_text(f"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID>{SECRET}")
    sources = [
        {"type": "files", "path": str(notes)},
        {"type": "pubmed", "path": str(pubmed)},
        {"type": "mimic-notes", "path": str(tmp_path / "missing")},
    ]
    path = tmp_path / "corpus.yaml"
    path.write_text(json.dumps({"sources": sources}))
    return path


def test_the_rest_is_built_and_each_refused_input_has_one_line(config, tmp_path, capsys):
    assert main(["corpus", "build", str(config), "-o", str(tmp_path / "corpus"), "-q"]) == 0
    printed = capsys.readouterr()
    manifest = json.loads((tmp_path / "corpus" / "manifest.json").read_text())
    names = sorted(item["path"].rsplit("/", 1)[1] for item in manifest["refused"])
    assert names == [
        "broken.xml",
        "cut.jsonl.gz",
        "missing",
        "no_text.csv",
    ]
    assert len(printed.err.strip().splitlines()) == 4
    assert "Traceback" not in printed.err
    assert SECRET not in printed.err + printed.out + json.dumps(manifest)
    assert manifest["sources"][0]["kept"]["train"] > 20


def test_strict_exits_with_1_when_something_was_refused(config, tmp_path, capsys):
    assert main(["corpus", "build", str(config), "-o", str(tmp_path / "corpus"), "--strict"]) == 1
    assert (tmp_path / "corpus" / "manifest.json").exists()


def test_nothing_readable_exits_with_1(tmp_path, capsys):
    path = tmp_path / "corpus.yaml"
    path.write_text(f"sources: [{{type: pubmed, path: {tmp_path / 'missing'}}}]\n")
    assert main(["corpus", "build", str(path), "-o", str(tmp_path / "corpus"), "-q"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: nothing could be read")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sources: [{type: files, path: x, text_colum: t}]", "did you mean 'text_column'"),
        ("sorces: []", "did you mean 'sources'"),
        ("sources: [{type: flies, path: x}]", "'flies'"),
        ("sources: [", "not valid YAML"),
        ("- 1", "key: value"),
        ("sources: []", "sources"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path, capsys, text, says):
    (tmp_path / "corpus.yaml").write_text(text)
    assert main(["corpus", "build", str(tmp_path / "corpus.yaml"), "-o", str(tmp_path / "corpus")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert says in lines[0]


def test_inspect_prints_what_build_printed_each_refusal_on_one_line_and_json_for_machines(config, tmp_path, capsys):
    main(["corpus", "build", str(config), "-o", str(tmp_path / "corpus"), "-q"])
    built = capsys.readouterr()
    *table, pointer = built.out.splitlines()
    assert pointer == f"4 refused, listed by cmbert corpus inspect {tmp_path / 'corpus'}"
    assert main(["corpus", "inspect", str(tmp_path / "corpus")]) == 0
    assert capsys.readouterr().out.splitlines() == [*table, *built.err.splitlines()]
    assert main(["corpus", "inspect", str(tmp_path / "corpus"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["access"] == "credentialed"


def test_a_second_build_with_another_setting_is_refused(config, tmp_path, capsys):
    assert main(["corpus", "build", str(config), "-o", str(tmp_path / "corpus"), "-q"]) == 0
    capsys.readouterr()
    assert main(["corpus", "build", str(config), "-o", str(tmp_path / "corpus"), "--set", "seed=1"]) == 1
    assert "another settings.seed" in capsys.readouterr().err


def test_text_that_looks_like_identifiers_stops_a_build_that_must_have_none(tmp_path, capsys):
    rows = [{"text": "Dr. Madeupname called on 3/4/2019 about the result."}, {"text": "Stable, no complaint since then."}]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "corpus.yaml"
    path.write_text(f"sources: [{{type: files, path: {tmp_path / 'n.jsonl'}}}]\n")
    assert main(["corpus", "build", str(path), "-o", str(tmp_path / "corpus"), "-q", "--fail-on-phi"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: what looks like identifiers of patients was found: ")
    assert "name in 1 documents" in error
    assert "Madeupname" not in error
    assert not (tmp_path / "corpus" / "manifest.json").exists()


def test_inspect_writes_a_page(config, tmp_path, capsys):
    main(["corpus", "build", str(config), "-o", str(tmp_path / "corpus"), "-q"])
    assert main(["corpus", "inspect", str(tmp_path / "corpus"), "-o", str(tmp_path / "report"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out[printed.out.index("{") :])["sources"][0]["name"] == "files"
    assert SECRET not in (tmp_path / "report" / "index.html").read_text()
