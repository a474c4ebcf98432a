"""What a report's subject hands to its sections."""

from pathlib import Path

import polars as pl

from clinical_modernbert.analysis.subject import Subject, reference_names


class Shards:
    """A corpus of short documents, of which the last of many shards holds all long ones."""

    def __init__(self, number: int, long: int) -> None:
        self._texts = [["short"] * 10 for _ in range(number - 1)] + [["a long one"] * long]

    def shards(self, split):
        for shard, texts in enumerate(self._texts):
            rows = [{"id": f"{split}-{shard}-{i}", "text": text, "source": "s", "patient": None} for i, text in enumerate(texts)]
            yield None, pl.DataFrame(rows, schema_overrides={"patient": pl.String})


def subject(corpus: Shards, seed: int = 0) -> Subject:
    found = Subject(Path("model"), seed=seed)
    found.__dict__["opened_corpus"] = corpus
    return found


def test_long_documents_are_found_where_they_are():
    corpus = Shards(number=40, long=10)
    found = subject(corpus).documents("train", 8, min_characters=8)
    assert [one.text for one in found] == ["a long one"] * 8
    assert len(subject(corpus).documents("train", 20, min_characters=8)) == 10


def test_every_document_is_sampled_as_often_as_any_other_and_they_stay_in_order():
    corpus, times = Shards(number=30, long=10), dict.fromkeys(range(30), 0)
    for seed in range(60):
        found = [one.id for one in subject(corpus, seed).documents("train", 10)]
        assert len(found) == 10
        shards = [int(name.split("-")[1]) for name in found]
        assert shards == sorted(shards)
        for shard in shards:
            times[shard] += 1
    assert min(times.values()) > 5  # 20 on average
    assert max(times.values()) < 40


def test_a_corpus_without_such_documents_gives_none():
    assert subject(Shards(number=3, long=2)).documents("validation", 5, min_characters=99) == []


def test_a_reference_called_like_a_column_gets_a_name_of_its_own():
    folders = [Path("/model"), Path("/runs/model"), Path("/untrained"), Path("/bert")]
    assert list(reference_names(folders)) == ["model (reference)", "runs/model", "untrained (reference)", "bert"]
