"""Documents that a benchmark shares are found, whatever form the benchmark comes in."""

import json

import polars as pl
import pytest
from corpus_files import write_notes

from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.decontamination import Benchmark, contaminated, ids_of, learn
from clinical_modernbert.corpus.shingles import hash_words
from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Files, PubMed

SENTENCE = "The patient was started on warfarin and her prothrombin time was monitored every week at home"
TOKENS = SENTENCE.split()
FORMS = {
    "a.txt": SENTENCE,
    "wrapped.txt": "\n".join([" ".join(TOKENS[:6]), " ".join(TOKENS[6:])]),
    "a.pubtator": f"227508|t|A title\n227508|a|{SENTENCE}\n227508\t0\t8\tWarfarin\tChemical\tD009270\n",
    "a.jsonl": json.dumps({"pmid": 227508, "sentences": [" ".join(TOKENS[:8]), " ".join(TOKENS[8:])]}),
    "tokens.jsonl": json.dumps({"tokens": TOKENS}),
    "a.tsv": "\n".join(f"{token}\tO" for token in TOKENS),
    "a.conll": "\n".join(f"{token} NN {'B-Drug' if token == 'warfarin' else 'O'}" for token in TOKENS),
    "labelled.tsv": f"RESULTS\t{SENTENCE}",
    "a.csv": f'id,text,label\n1,"{SENTENCE}",yes\n',
    "a.xml": f"<doc><p>{SENTENCE.replace('warfarin', '<drug>warfarin</drug>')}</p></doc>",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_sentence_is_found_in_every_form(tmp_path, name):
    (tmp_path / name).write_text(FORMS[name])
    known = [learn(Benchmark(name="it", path=tmp_path))]
    texts = [f"Earlier: {SENTENCE.upper()}; later.", SENTENCE.replace("warfarin", "heparin"), "Nothing of it."]
    assert contaminated(known, hash_words(texts)) == {0: ["it"]}


def test_document_ids_of_a_benchmark_are_enough(tmp_path):
    (tmp_path / "227508.txt").write_text("another text")
    known = learn(Benchmark(name="it", path=tmp_path))
    assert known.ids == {"pmid:227508"}
    assert ids_of("pubmed:227508#ger", {}) & known.ids
    assert ids_of("articles:PMC1", {"pmid": "227508"}) & known.ids
    assert not ids_of("files:227508", {}) & known.ids


def test_texts_too_short_to_be_found_by_are_counted(tmp_path):
    (tmp_path / "a.txt").write_text(f"too short\n\n{SENTENCE}\n")
    known = learn(Benchmark(name="it", path=tmp_path))
    assert (known.passages, known.too_short) == (2, 1)


def test_a_benchmark_without_text_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(DataError, match="no text in the benchmark 'it'"):
        learn(Benchmark(name="it", path=tmp_path))


def test_a_build_says_what_it_removed_for_which_task(tmp_path):
    for name, text in (("one", SENTENCE), ("two", "of no use to anybody")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text)
    notes = write_notes(tmp_path / "n.jsonl", [{"text": SENTENCE + "."}, {"text": "Something else, and quite long enough."}])
    tasks = [Benchmark(name=name, path=tmp_path / name) for name in ("one", "two")]
    settings = CorpusSettings(sources=[Files(notes)], validation_fraction=0, decontaminate=tasks)
    corpus = build_corpus(settings, tmp_path / "corpus")
    assert corpus.manifest.dropped == {"contaminated:one": 1}
    assert pl.read_parquet(corpus.folder / "dropped" / "documents.parquet")["id"].to_list() == ["files:n.jsonl-1"]
    assert [(one.name, one.passages) for one in corpus.manifest.benchmarks] == [("one", 1), ("two", 1)]


def test_real_benchmarks_take_their_own_abstracts_out_of_pubmed(shared_data, tmp_path):
    path = shared_data / "benchmarks" / "bc5cdr"
    record = next(line for line in (path / "CDR_TestSet.PubTator.txt").read_text().splitlines() if "|a|" in line)
    pmid, _, abstract = record.split("|", 2)
    text = "<ArticleTitle>T</ArticleTitle><Abstract><AbstractText>{}</AbstractText></Abstract>"
    citation = "<MedlineCitation><PMID>{}</PMID><Article>" + text + "</Article></MedlineCitation>"
    escaped = abstract.replace("&", "&amp;").replace("<", "&lt;")
    articles = [citation.format(pmid, "Quite another text."), citation.format(9, escaped), citation.format(8, "Of neither.")]
    (tmp_path / "a.xml").write_text(
        f"<PubmedArticleSet>{''.join(f'<PubmedArticle>{one}</PubmedArticle>' for one in articles)}</PubmedArticleSet>"
    )
    settings = CorpusSettings(
        sources=[PubMed(tmp_path / "a.xml")], validation_fraction=0, decontaminate=[Benchmark(name="bc5cdr", path=path)], quality=None
    )
    corpus = build_corpus(settings, tmp_path / "corpus")
    assert [name for _, frame in corpus.shards("train") for name in frame["id"]] == ["pubmed:8"]
    assert corpus.manifest.dropped == {"contaminated:bc5cdr": 2}
