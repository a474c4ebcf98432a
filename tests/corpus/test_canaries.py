"""Canaries: planted in the training split alone, all of them, the same from any number of workers; listed, counted, and drawn by chance."""

import json

import pytest
from corpus_files import unfiltered, write_notes

from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.corpus.canaries import Canaries, make
from clinical_modernbert.corpus.settings import CanarySettings
from clinical_modernbert.corpus.split import PhraseSet
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Codes, Files

FEW = CanarySettings(per_count=2, counts=[1, 3])


@pytest.fixture
def planted(settings, tmp_path) -> Corpus:
    changed = settings.model_copy(update={"canaries": FEW, "near_duplicates": 0.8, "phi": "refuse"})
    return build_corpus(changed, tmp_path / "planted")


def test_every_repetition_stands_in_the_training_split_and_nowhere_else(planted):
    found = {split: [row for _, frame in planted.shards(split) for row in frame.iter_rows(named=True)] for split in ("train", "validation")}
    assert not any(row["source"] == "canaries" for row in found["validation"])
    rows = [row for row in found["train"] if row["source"] == "canaries"]
    assert len(rows) == len({row["id"] for row in rows}) == 2 * 2 * (1 + 3)
    for canary in Canaries.read(planted.folder / "canaries.json").planted:
        mine = [row for row in rows if row["patient"] == canary.id]
        assert len(mine) == canary.repetitions
        assert all(canary.secret in row["text"] and canary.name in row["text"] for row in mine)
        assert all(row["id"].startswith(f"{canary.id}#") for row in mine)


def test_the_manifest_counts_them_and_the_other_documents_stay_as_they_were(planted, corpus):
    [source] = [source for source in planted.manifest.sources if source.name == "canaries"]
    assert source.read == source.kept["train"] == 16
    assert (source.access, source.kept["validation"], source.dropped) == ("open", 0, {})
    assert planted.manifest.canaries.secrets == {"1": 4, "3": 4}
    ours = [text for _, frame in planted.shards("train") for text in frame.filter(frame["source"] != "canaries")["text"]]
    assert set(ours) <= set(corpus.texts("train"))
    assert corpus.manifest.canaries is None
    assert not (corpus.folder / "canaries.json").exists()
    assert "made-up secrets" in (planted.folder / "README.md").read_text()


def test_any_number_of_workers_and_a_build_that_goes_on_give_the_same_bytes(settings, tmp_path, monkeypatch):
    changed = settings.model_copy(update={"canaries": FEW})
    one, two = (build_corpus(changed.model_copy(update={"workers": n}), tmp_path / f"{n}") for n in (1, 2))
    files = ["canaries.json", *(shard.path for shard in one.manifest.shards)]
    assert one.manifest.fingerprint == two.manifest.fingerprint
    assert all((one.folder / name).read_bytes() == (two.folder / name).read_bytes() for name in files)
    with monkeypatch.context() as broken:
        broken.setattr("clinical_modernbert.corpus.canaries.Canaries.write", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            build_corpus(changed, tmp_path / "again")
    again = build_corpus(changed, tmp_path / "again")
    assert all((one.folder / name).read_bytes() == (again.folder / name).read_bytes() for name in files)


def test_a_list_that_was_lost_is_made_again(planted):
    before = (planted.folder / "canaries.json").read_bytes()
    (planted.folder / "canaries.json").unlink()
    assert planted.damaged() == ["canaries.json"]
    build_corpus(parse(CorpusSettings, planted.manifest.settings), planted.folder)
    assert (planted.folder / "canaries.json").read_bytes() == before


def test_secrets_are_drawn_from_the_pool_and_another_seed_draws_others():
    made, other = make(CanarySettings(), PhraseSet([])), make(CanarySettings(seed=1), PhraseSet([]))
    for form in ("number", "condition"):
        assert {canary.secret for canary in made.of(form)} <= set(made.pools[form])
        assert [canary.repetitions for canary in made.of(form)] == [1] * 5 + [4] * 5 + [16] * 5 + [64] * 5
    assert len(made.candidates("number")) == len(set(made.candidates("number"))) == 1023
    assert not {canary.secret for canary in made.of("number")} & set(made.candidates("number"))
    assert len({canary.name for canary in made.planted}) == 40
    assert {canary.secret for canary in made.of("number")} != {canary.secret for canary in other.of("number")}


def test_no_canary_has_a_word_of_a_held_out_concept():
    avoided = PhraseSet(["Asthma", "gout", "record number"])
    made = make(CanarySettings(per_count=20), avoided)
    assert not any(avoided.occur_in(row["text"]) for canary in made.planted for row in canary.documents())
    with pytest.raises(ConfigError, match="held_out_concepts"):
        make(CanarySettings(), PhraseSet(made.pools["condition"][2:]))


def test_words_of_held_out_concepts_are_those_of_the_corpus(tmp_path):
    (tmp_path / "terms.obo").write_text('[Term]\nid: HP:1\nname: airway disease\nsynonym: "asthma" EXACT []\n')
    notes = Files(write_notes(tmp_path / "notes.jsonl", [{"text": f"Note {i}."} for i in range(9)]), access="open")
    terms = Codes(tmp_path / "terms.obo", system="hpo")
    corpus = build_corpus(unfiltered(notes, terms, held_out_concepts=0.99, canaries=CanarySettings()), tmp_path / "corpus")
    assert corpus.manifest.held_out_concepts == 1
    assert "asthma" not in Canaries.read(corpus.folder / "canaries.json").pools["condition"]


def test_mistakes_are_named(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    (tmp_path / "new.json").write_text(json.dumps({"format_version": 2}))
    for name, said in (("x.json", "not a list of canaries"), ("new.json", "format 2"), ("none.json", "no such file")):
        with pytest.raises(DataError, match=said):
            Canaries.read(tmp_path / name)
    source = Files(write_notes(tmp_path / "notes.jsonl", [{"text": "A note."}]), name="canaries")
    with pytest.raises(ValueError, match="another `name`"):
        CorpusSettings(sources=[source], canaries=FEW)
