"""Swapped training documents of a corpus: which, where, counted, the same whoever does the work."""

import json
import random

import polars as pl
import pytest
from corpus_files import unfiltered, write_notes
from test_corpus_engine import inputs, small_parts, tree  # noqa: F401 - fixtures

from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.decontamination import Benchmark
from clinical_modernbert.corpus.settings import CounterfactualSettings
from clinical_modernbert.corpus.text.swapping import dictionary, swap
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Codes, Files

SEX = dictionary().sex


def note(number: int) -> str:
    kind = number % 4
    if kind == 2:
        return f"Visit {number}: she is pregnant."
    if kind == 3:
        return f"Visit {number}: stable."
    return f"HISTORY:\nVisit {number}: she and her husband came, he drove.\nPLAN:\nShe rests."


@pytest.fixture
def source(tmp_path) -> Files:
    rows = [{"text": note(i), "id": str(i), "patient": f"p{i}"} for i in range(400)]
    return Files(write_notes(tmp_path / "n.jsonl", rows), id_column="id", patient_column="patient", access="open", name="notes")


def build(source: Files, folder, **swapping):
    how = CounterfactualSettings(sources=["notes"], **swapping) if swapping else None
    return build_corpus(unfiltered(source, validation_fraction=0.2, counterfactuals=how), folder)


def frame(corpus, split: str) -> pl.DataFrame:
    return pl.concat([part for _, part in corpus.shards(split)])


def test_copies_stand_behind_the_documents_they_were_made_of(source, tmp_path):
    plain, swapped = build(source, tmp_path / "plain"), build(source, tmp_path / "swapped", share=0.5)
    rows = frame(swapped, "train")
    copies = rows.filter(pl.col("id").str.ends_with("#swapped"))
    assert rows.filter(~pl.col("id").str.ends_with("#swapped")).equals(frame(plain, "train"))
    text, metadata = dict(zip(rows["id"], rows["text"], strict=True)), dict(zip(rows["id"], rows["metadata"], strict=True))
    ids = rows["id"].to_list()
    for name in copies["id"]:
        first = name.removesuffix("#swapped")
        assert ids.index(name) == ids.index(first) + 1
        assert text[name] == swap(text[first], SEX).text != text[first]
        assert [text[name][start:].partition(":")[0] for _, start in json.loads(metadata[name])["sections"]] == ["HISTORY", "PLAN"]
    assert 0.4 < len(copies) / rows.filter(pl.col("text").str.contains("husband came|wife came")).unique("patient").height < 0.6


def test_the_manifest_counts_what_became_of_those_chosen(source, tmp_path):
    corpus = build(source, tmp_path / "corpus", share=1)
    [summary] = corpus.manifest.sources
    rows = frame(corpus, "train")
    assert summary.counterfactuals["swapped"] == rows["id"].str.ends_with("#swapped").sum()
    assert sum(summary.counterfactuals.values()) == summary.kept["train"]
    assert set(summary.counterfactuals) == {"swapped", "no_term", "makes_no_sense_swapped"}
    assert summary.read == sum(summary.kept.values())
    assert corpus.manifest.documents("train") == summary.kept["train"] + summary.counterfactuals["swapped"]
    assert (
        summary.bytes
        == corpus.manifest.bytes
        == sum(len(text.encode()) for split in ("train", "validation") for text in corpus.texts(split))
    )
    assert "its id ends in `#swapped`" in (corpus.folder / "README.md").read_text()


def test_validation_is_never_swapped(source, tmp_path):
    plain, swapped = build(source, tmp_path / "plain"), build(source, tmp_path / "swapped", share=1)
    assert frame(plain, "validation").equals(frame(swapped, "validation"))


def test_replacing_changes_texts_and_no_counts(source, tmp_path):
    plain, replaced = build(source, tmp_path / "plain"), build(source, tmp_path / "replaced", share=0.5, replace=True)
    before, after = frame(plain, "train"), frame(replaced, "train")
    assert len(before) == len(after)
    changed = after["id"].str.ends_with("#swapped")
    assert after.filter(~changed).equals(before.filter(~changed))
    assert [swap(text, SEX).text for text in before.filter(changed)["text"]] == after.filter(changed)["text"].to_list()
    assert changed.sum() == replaced.manifest.sources[0].counterfactuals["swapped"] > 50


def test_both_dimensions_are_swapped_at_once(tmp_path):
    source = Files(write_notes(tmp_path / "n.jsonl", [{"text": "A white man came."}]), name="notes")
    corpus = build(source, tmp_path / "corpus", share=1, dimensions=("sex", "ethnicity"))
    assert list(corpus.texts()) in ([], ["A white man came.", "A black woman came."])


def test_a_copy_that_a_benchmark_holds_or_that_names_a_held_out_concept_is_not_written(tmp_path):
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu"
    source = Files(write_notes(tmp_path / "n.jsonl", [{"text": f"He {words}"}, {"text": "She had male dysplasia."}]), name="notes")
    (tmp_path / "terms.obo").write_text('[Term]\nid: HP:1\nname: x\nsynonym: "female dysplasia" EXACT []\n\n')
    (tmp_path / "bench.txt").write_text(f"She {words}")
    settings = unfiltered(
        source,
        Codes(tmp_path / "terms.obo", system="hpo"),
        validation_fraction=0,
        held_out_concepts=0.9999,
        decontaminate=[Benchmark(name="bench", path=tmp_path / "bench.txt")],
        counterfactuals=CounterfactualSettings(sources=["notes"], share=1),
    )
    corpus = build_corpus(settings, tmp_path / "corpus")
    assert corpus.manifest.sources[0].counterfactuals == {"contaminated": 1, "held_out_synonym": 1}
    assert corpus.manifest.documents("train") == 2


def test_a_source_that_is_not_there_is_named(source):
    with pytest.raises(ConfigError, match="names 'letters'; the sources are notes"):
        parse(CorpusSettings, {"sources": [source], "counterfactuals": {"sources": ["letters"]}})


@pytest.fixture
def engine(inputs, small_parts):  # noqa: F811
    """The files of the engine's tests, each text with a pronoun."""
    rng = random.Random(1)
    for path in sorted(inputs.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_notes(path, [row | {"text": f"{rng.choice(['She', 'He'])} came. {row['text']}"} for row in rows])
    sources = [Files(inputs, patient_column="patient", access="open"), Codes(inputs.parent / "terms.obo", system="hpo")]
    how = CounterfactualSettings(sources=["files"], share=0.5)
    return CorpusSettings(sources=sources, validation_fraction=0.1, shard_megabytes=1, counterfactuals=how, workers=1)


def test_any_number_of_workers_writes_the_same_copies(engine, tmp_path):
    built = [build_corpus(engine.model_copy(update={"workers": workers}), tmp_path / f"{workers}") for workers in (1, 3)]
    assert built[0].manifest.sources[0].counterfactuals["swapped"] > 200
    assert tree(built[0].folder) == tree(built[1].folder)


def test_an_interrupted_build_writes_the_same_copies(engine, tmp_path, monkeypatch):
    expected = tree(build_corpus(engine, tmp_path / "expected").folder)
    from clinical_modernbert.corpus.writing import WriteTask

    run = WriteTask.run

    def stopping(self, folder, journal):
        if self.split == "validation":
            raise KeyboardInterrupt
        return run(self, folder, journal)

    monkeypatch.setattr(WriteTask, "run", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(engine, tmp_path / "found")
    monkeypatch.setattr(WriteTask, "run", run)
    assert tree(build_corpus(engine, tmp_path / "found").folder) == expected
