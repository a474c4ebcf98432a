import gzip
import hashlib
import json
import os
from pathlib import Path

import polars as pl
import pytest
from corpus_files import unfiltered, write_notes

from clinical_modernbert.corpus import Corpus, CorpusSettings, Manifest, build_corpus
from clinical_modernbert.corpus.split import PhraseSet
from clinical_modernbert.corpus.steps import Steps
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.sources import (
    Codes,
    Deletion,
    Document,
    FhirNotes,
    Files,
    HpoTerms,
    Mimic3Notes,
    MimicNotes,
    OmopNotes,
    PseudoNotes,
    PubMed,
)


def rows(corpus: Corpus) -> dict[str, pl.DataFrame]:
    return {split: pl.concat([frame for _, frame in corpus.shards(split)]) for split in ("train", "validation")}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_nothing_is_lost_uncounted(corpus):
    kept = sum(len(frame) for frame in rows(corpus).values())
    assert kept + sum(corpus.manifest.dropped.values()) == 200


def test_a_patient_is_on_one_side_of_the_split(corpus):
    frames = rows(corpus)
    assert not set(frames["train"]["patient"]) & set(frames["validation"]["patient"])
    assert 0.1 < len(frames["validation"]) / 200 < 0.3


def test_manifest_describes_every_shard(corpus):
    for shard in corpus.manifest.shards:
        data = (corpus.folder / shard.path).read_bytes()
        frame = pl.read_parquet(corpus.folder / shard.path)
        assert shard.sha256 == hashlib.sha256(data).hexdigest()
        assert shard.rows == len(frame)
        assert shard.bytes == sum(len(text.encode()) for text in frame["text"])
    assert json.loads((corpus.folder / "manifest.json").read_text())["format_version"] == 1


def test_empty_and_repeated_texts_are_dropped_under_their_reason(tmp_path):
    path = write_notes(tmp_path / "n.jsonl", [{"text": text} for text in ("a b", " \n ", "a b\n", "c", "a b")])
    corpus = build_corpus(unfiltered(Files(path)), tmp_path / "corpus")
    assert corpus.manifest.dropped == {"empty": 1, "exact_duplicate": 2}
    assert json.loads((corpus.folder / "dropped" / "counts.json").read_text()) == {"files": {"empty": 1, "exact_duplicate": 2}}


def test_every_file_of_every_source_is_read_once(tmp_path):
    sources = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for i in range(3):
            write_notes(tmp_path / name / f"{i}.jsonl", [{"text": f"{name} {i}"}])
        sources.append(Files(tmp_path / name, name=name))
    corpus = build_corpus(unfiltered(*sources, validation_fraction=0), tmp_path / "corpus")
    assert list(corpus.texts()) == [f"{name} {i}" for name in "abc" for i in range(3)]
    assert corpus.manifest.dropped == {}


def test_shards_are_cut_by_size_and_keep_the_order(tmp_path):
    path = write_notes(tmp_path / "n.jsonl", [{"text": f"{i} " + "x" * 300_000} for i in range(10)])
    corpus = build_corpus(unfiltered(Files(path), validation_fraction=0, shard_megabytes=1), tmp_path / "corpus")
    assert [shard.rows for shard in corpus.manifest.shards] == [3, 3, 3, 1]
    assert [text.split()[0] for text in corpus.texts()] == [str(i) for i in range(10)]


def test_building_twice_gives_the_same_bytes(settings, tmp_path):
    one, two = (build_corpus(settings, tmp_path / name).folder for name in ("one", "two"))
    assert tree(one) == tree(two)


def test_a_second_run_reads_no_input_again(settings, corpus, monkeypatch):
    monkeypatch.setattr(Files, "read", lambda *_: pytest.fail("read again"))
    assert build_corpus(settings, corpus.folder).manifest.fingerprint == corpus.manifest.fingerprint


def test_an_interrupted_build_reads_finished_files_once(tmp_path, monkeypatch):
    folder = tmp_path / "notes"
    folder.mkdir()
    for i in range(3):
        write_notes(folder / f"{i}.jsonl", [{"text": f"text {i} {j}"} for j in range(5)])
    monkeypatch.setattr("clinical_modernbert.corpus.steps._READ_TOGETHER", 1)
    whole = build_corpus(unfiltered(Files(folder)), tmp_path / "whole")
    read = Files.read
    seen = []

    def stopping(self, path):
        seen.append(path.name)
        if path.name == "1.jsonl" and seen.count("1.jsonl") == 1:
            raise KeyboardInterrupt
        yield from read(self, path)

    monkeypatch.setattr(Files, "read", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(unfiltered(Files(folder)), tmp_path / "resumed")
    resumed = build_corpus(unfiltered(Files(folder)), tmp_path / "resumed")
    assert seen == ["0.jsonl", "1.jsonl", "1.jsonl", "2.jsonl"]
    assert tree(whole.folder) == tree(resumed.folder)


def test_a_changed_setting_or_input_is_refused(settings, corpus, notes):
    changed = settings.model_copy(update={"validation_fraction": 0.3})
    with pytest.raises(ConfigError, match=r"another settings\.validation_fraction.*--overwrite"):
        build_corpus(changed, corpus.folder)
    notes.write_text(notes.read_text() + '{"text": "one more", "id": "x", "patient": "p"}\n')
    with pytest.raises(ConfigError, match="another inputs"):
        build_corpus(settings, corpus.folder)
    assert build_corpus(settings, corpus.folder, overwrite=True).manifest.sources[0].read == 201


BESIDE = {
    "template": (
        {"terms.obo": "[Term]\nid: HP:1\nname: Fever\n\n", "own.txt": "{code} is {name}."},
        lambda folder: Codes(folder / "terms.obo", system="hpo", template=str(folder / "own.txt")),
        ("own.txt", "{name}: {code}."),
    ),
    "omop": (
        {"note.csv": "note_id,person_id,note_text\n1,7,Fever.\n", "condition.csv": "visit_occurrence_id,condition_source_value\n1,R50.9\n"},
        lambda folder: OmopNotes(folder / "note.csv", conditions=folder / "condition.csv"),
        ("condition.csv", "visit_occurrence_id,condition_source_value\n1,R05.1\n"),
    ),
    "fhir": (
        {
            "DiagnosticReport.ndjson": '{"resourceType": "DiagnosticReport", "id": "1", "conclusion": "Fever."}\n',
            "Condition.ndjson": "{}\n",
        },
        FhirNotes,
        ("Condition.ndjson", "{} \n"),
    ),
    "mimic-notes": (
        {
            "discharge.csv": "note_id,subject_id,text\n1,7,Fever.\n",
            "discharge_detail.csv": "note_id,field_name,field_value,field_ordinal\n1,a,b,1\n",
        },
        MimicNotes,
        ("discharge_detail.csv", "note_id,field_name,field_value,field_ordinal\n1,a,c,1\n"),
    ),
    "mimic3-notes": (
        {
            "NOTEEVENTS.csv": "ROW_ID,SUBJECT_ID,CATEGORY,TEXT\n1,2,ECG,Fever.\n",
            "DIAGNOSES_ICD.csv": "HADM_ID,SEQ_NUM,ICD9_CODE\n1,1,4019\n",
        },
        lambda folder: Mimic3Notes(folder, diagnoses=folder / "DIAGNOSES_ICD.csv"),
        ("DIAGNOSES_ICD.csv", "HADM_ID,SEQ_NUM,ICD9_CODE\n1,1,4018\n"),
    ),
    "mimic-ed": (
        {
            "edstays.csv": "subject_id,stay_id,intime,outtime,hadm_id,gender,race,arrival_transport,disposition\n"
            "7,31,2180-05-06 19:17:00,2180-05-06 23:30:00,,F,,WALK IN,HOME\n",
            "medrecon.csv": "subject_id,stay_id,charttime,etc_rn,name,etcdescription\n7,31,2180-05-06 19:20:00,1,aspirin,\n",
        },
        PseudoNotes,
        ("medrecon.csv", "subject_id,stay_id,charttime,etc_rn,name,etcdescription\n7,31,2180-05-06 19:20:00,1,insulin,\n"),
    ),
}
"""Input files, the source of their folder, and a changed file that the source reads beside its input."""


@pytest.mark.parametrize("kind", BESIDE)
def test_a_changed_file_that_is_read_beside_an_input_is_noticed(tmp_path, kind, monkeypatch):
    files, source_of, (changed, content) = BESIDE[kind]
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    settings = unfiltered(source_of(folder))
    with monkeypatch.context() as patch:
        patch.setattr(Steps, "clean", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_corpus(settings, tmp_path / "corpus")
    (folder / changed).write_text(content)
    corpus = build_corpus(settings, tmp_path / "corpus")
    assert tree(corpus.folder) == tree(build_corpus(settings, tmp_path / "anew").folder)
    assert str(folder / changed) in [one["path"] for one in corpus.manifest.inputs]
    os.utime(folder / changed, ns=(1, 1))
    with pytest.raises(ConfigError, match="another inputs"):
        build_corpus(settings, tmp_path / "corpus")


def test_damaged_inputs_are_listed_and_the_rest_survives(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_notes(folder / "good.jsonl", [{"text": "good"}])
    data = gzip.compress("\n".join(json.dumps({"text": f"line {i} {hash(str(i))}"}) for i in range(2000)).encode())
    (folder / "cut.jsonl.gz").write_bytes(data[: len(data) // 2])
    (folder / "no_text.csv").write_text("a,b\n1,2\n")
    sources = [Files(folder), PubMed(tmp_path / "missing")]
    corpus = build_corpus(unfiltered(*sources), tmp_path / "corpus")
    refused = {Path(item.path).name: item.reason for item in corpus.manifest.refused}
    assert set(refused) == {"cut.jsonl.gz", "no_text.csv", "missing"}
    assert "text_column" in refused["no_text.csv"]
    assert "good" in [text for split in ("train", "validation") for text in corpus.texts(split)]
    assert Manifest.read(corpus.folder / "manifest.json").refused == corpus.manifest.refused


def test_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nothing could be read"):
        build_corpus(unfiltered(Files(tmp_path / "missing.jsonl")), tmp_path / "corpus")


def test_an_unexpected_fault_of_a_source_is_listed_without_text(tmp_path, monkeypatch):
    path = write_notes(tmp_path / "n.jsonl", [{"text": "fine"}])

    def faulty(self, path):
        yield Document("files:1", "kept", "files", "open")
        raise RuntimeError("secret text")

    monkeypatch.setattr(Files, "read", faulty)
    corpus = build_corpus(unfiltered(Files(path)), tmp_path / "corpus")
    assert [item.reason for item in corpus.manifest.refused] == ["RuntimeError while reading. Run with -v for details"]


def versions(*records):
    """A source's `read` that yields these records whatever the file."""
    return lambda self, path: iter(records)


def document(identity: str, text: str, version: int = 1) -> Document:
    return Document(identity, text, "files", "open", metadata={"version": version})


def test_later_versions_replace_earlier_ones_and_deletions_withdraw(tmp_path, monkeypatch):
    records = [
        document("files:1", "one, first"),
        document("files:2", "two, version 2", 2),
        document("files:2#ger", "zwei"),
        document("files:3", "three"),
        document("files:1", "one, second", 2),
        document("files:3", "three, an old version that comes late", 0),
        Deletion("files:2"),
    ]
    monkeypatch.setattr(Files, "read", versions(*records))
    corpus = build_corpus(unfiltered(Files(write_notes(tmp_path / "n.jsonl", []))), tmp_path / "corpus")
    assert sorted(text for split in ("train", "validation") for text in corpus.texts(split)) == ["one, second", "three"]
    assert corpus.manifest.dropped == {"superseded": 2, "withdrawn": 2}


def test_a_new_version_brings_its_other_languages_along(tmp_path, monkeypatch):
    records = [
        document("files:1", "one"),
        document("files:1#ger", "eins"),
        document("files:1", "one, new", 2),
        document("files:1#fre", "un", 2),
    ]
    monkeypatch.setattr(Files, "read", versions(*records))
    corpus = build_corpus(unfiltered(Files(write_notes(tmp_path / "n.jsonl", []))), tmp_path / "corpus")
    assert sorted(text for split in ("train", "validation") for text in corpus.texts(split)) == ["one, new", "un"]
    assert corpus.manifest.dropped == {"superseded": 2}


def test_files_that_differ_in_their_ending_alone_are_both_read(tmp_path):
    write_notes(tmp_path / "notes.jsonl", [{"text": "from json"}])
    (tmp_path / "notes.csv").write_text("text\nfrom csv\n")
    corpus = build_corpus(unfiltered(Files(tmp_path), validation_fraction=0), tmp_path / "corpus")
    assert sorted(corpus.texts()) == ["from csv", "from json"]


def test_two_sources_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="give each a `name`"):
        CorpusSettings(sources=[Files(tmp_path / "a"), Files(tmp_path / "b")])


def test_records_that_share_an_id_are_counted_and_told(tmp_path, caplog):
    path = write_notes(tmp_path / "n.jsonl", [{"text": f"visit {i}", "subject": "7"} for i in range(3)])
    corpus = build_corpus(unfiltered(Files(path, id_column="subject")), tmp_path / "corpus")
    assert corpus.manifest.dropped == {"superseded": 2}
    assert "set id_column to one that is unique" in caplog.text


def test_columns_of_a_user_are_not_taken_for_concepts_or_versions(tmp_path):
    rows = [{"text": f"text {i}", "concept": ["a"], "version": "2", "synonyms": "text", "pid": str(i % 3)} for i in range(30)]
    path = write_notes(tmp_path / "n.jsonl", rows)
    settings = unfiltered(Files(path, patient_column="pid"), validation_fraction=0.5, held_out_concepts=0.5)
    frames = [frame for split in ("train", "validation") for _, frame in build_corpus(settings, tmp_path / "c").shards(split)]
    assert sum(map(len, frames)) == 30
    assert sum(len(set(frame["patient"])) for frame in frames) == 3


def test_refused_records_of_one_kind_are_one_entry(tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text('{"text": "fine"}\n' + "{broken\n" * 3000)
    refused = build_corpus(unfiltered(Files(path)), tmp_path / "corpus").manifest.refused
    assert len(refused) == 1
    assert refused[0].records == 3000
    assert str(refused[0]).startswith(f"3,000 records of {path}: ")
    assert "line 2" in refused[0].where
    assert "line 3000" not in refused[0].where


def test_overwriting_leaves_foreign_files_alone(settings, corpus):
    (corpus.folder / "thesis.txt").write_text("mine")
    build_corpus(settings.model_copy(update={"seed": 5}), corpus.folder, overwrite=True)
    assert (corpus.folder / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", ["[]", "null", "{", '{"format_version": 1}', '{"format_version": 99}'])
def test_a_damaged_manifest_is_one_clear_error(corpus, damage):
    (corpus.folder / "manifest.json").write_text(damage)
    with pytest.raises(DataError, match=r"damaged manifest|corpus format 99"):
        Corpus.open(corpus.folder)


def test_a_record_that_returns_after_its_deletion_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Files, "read", versions(document("files:1", "a"), Deletion("files:1"), document("files:1", "b")))
    corpus = build_corpus(unfiltered(Files(write_notes(tmp_path / "n.jsonl", []))), tmp_path / "corpus")
    assert [text for split in ("train", "validation") for text in corpus.texts(split)] == ["b"]


def test_synonyms_of_held_out_concepts_stand_in_no_training_document(tmp_path):
    notes = write_notes(tmp_path / "n.jsonl", [{"text": "Seen for belly ache."}, {"text": "No complaint."}])
    sources = [Files(notes), HpoTerms()]
    settings = unfiltered(*sources, validation_fraction=0, held_out_concepts=0.05)
    corpus = build_corpus(settings, tmp_path / "corpus")
    frames = rows(corpus)
    held_out = [json.loads(text) for text in frames["validation"]["metadata"]]
    assert corpus.manifest.held_out_concepts == len(held_out) > 500
    phrases = PhraseSet(synonym for item in held_out for synonym in item["synonyms"])
    assert not any(phrases.occur_in(text) for text in frames["train"]["text"])
    concepts = {json.loads(text)["concept"] for text in frames["train"]["metadata"] if "concept" in json.loads(text)}
    assert not concepts & {item["concept"] for item in held_out}


def test_access_of_the_corpus_is_that_of_its_strictest_source(settings, tmp_path):
    private = Files(write_notes(tmp_path / "p.jsonl", [{"text": "mine"}]), name="mine")
    corpus = build_corpus(unfiltered(*settings.sources, private), tmp_path / "both")
    assert [source.access for source in corpus.manifest.sources] == ["open", "credentialed"]
    assert corpus.manifest.access == "credentialed"


def test_a_flipped_byte_in_a_shard_is_found(corpus):
    path = corpus.folder / corpus.manifest.shards[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="changed shard"):
        list(corpus.texts())


def test_a_folder_without_manifest_names_the_command_to_use(tmp_path):
    with pytest.raises(DataError, match="cmbert corpus build"):
        Corpus.open(tmp_path)
