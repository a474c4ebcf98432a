"""Languages that a model knows and does not know, text that it forgot, vocabularies that fit or do not; the command and its report."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import clinical_modernbert
from clinical_modernbert import analysis
from clinical_modernbert.analysis import SECTIONS, Finding, Section, Subject, run
from clinical_modernbert.analysis.languages.answers import Findings, Group, fertility, parallel
from clinical_modernbert.analysis.languages.hiding import PASSES, has_words, hide, words
from clinical_modernbert.analysis.languages.loss import masked_bits, unigram_bits
from clinical_modernbert.analysis.languages.material import Text, by_name, cut, in_languages
from clinical_modernbert.analysis.languages.section import forgetting_reading
from clinical_modernbert.cli.main import main
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining.run import pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import parse
from clinical_modernbert.sources import Files, PubMed
from clinical_modernbert.tokenization import Tokenizer, train

ENGLISH_WORDS = ["pain", "chest", "acute", "fever", "given", "trial", "drug", "heart", "liver", "cough"]
GERMAN_WORDS = ["schmerz", "brust", "akut", "fieber", "gabe", "studie", "mittel", "herz", "leber", "husten"]
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 512}


def sentences(vocabulary: list[str], number: int, seed: int, length: int = 40) -> list[str]:
    """Texts in which a word is always followed by the next of the list, but begins anywhere."""
    starts = np.random.default_rng(seed).integers(len(vocabulary), size=number)
    return [" ".join(vocabulary[(start + i) % len(vocabulary)] for i in range(length)) for start in starts.tolist()]


def bytes_alone() -> Tokenizer:
    """A vocabulary of one id a byte."""
    return train(["a"], 261)


def untrained(folder: Path, tokenizer: Tokenizer) -> Path:
    ids = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    config = ModernBertConfig(vocab_size=len(tokenizer), bos_token_id=tokenizer.cls_id, eos_token_id=tokenizer.sep_id, **SHAPE, **ids)
    model = ModernBertForMaskedLM(config)
    initialize(model, 7)
    hf.save(model, folder)
    tokenizer.save(folder)
    return folder


def citation(number: int, others: dict[str, str]) -> str:
    """PubMed XML of an article with an English abstract and others."""
    english = f"{sentences(ENGLISH_WORDS, 1, number)[0]} {number}"
    extra = "".join(
        f'<OtherAbstract Type="Publisher" Language="{code}"><AbstractText>{text}</AbstractText></OtherAbstract>'
        for code, text in others.items()
    )
    date = "<Journal><JournalIssue><PubDate><Year>2020</Year></PubDate></JournalIssue></Journal>"
    abstract = f"<Abstract><AbstractText>{english}</AbstractText></Abstract>"
    article = f"<Article>{date}<ArticleTitle>Title {number}.</ArticleTitle>{abstract}<Language>eng</Language></Article>"
    pmid = f'<PMID Version="1">{1000 + number}</PMID>'
    return f"<PubmedArticle><MedlineCitation>{pmid}{article}{extra}</MedlineCitation></PubmedArticle>"


@pytest.fixture(scope="module")
def pubmed(tmp_path_factory) -> Path:
    """Twelve articles with a German abstract of the same words, one of them with a second English abstract as well."""
    path = tmp_path_factory.mktemp("pubmed") / "some.xml"
    german = [f"{sentences(GERMAN_WORDS, 1, number)[0]} {number}" for number in range(12)]
    articles = [
        citation(i, {"ger": text} | ({"eng": sentences(ENGLISH_WORDS, 1, 99)[0]} if i == 3 else {})) for i, text in enumerate(german)
    ]
    path.write_text(f"<PubmedArticleSet>{''.join(articles)}</PubmedArticleSet>")
    return path


def trained(folder: Path, tokenizer: Tokenizer, texts: list[str], init: Path | None = None) -> Path:
    """A tiny model after some passes over texts, from random weights or from another."""
    folder.mkdir()
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tokenizer.save(folder / "tokenizer")
    settings = CorpusSettings(
        sources=[Files(folder / "texts.jsonl", access="open")], validation_fraction=0.1, quality=None, near_duplicates=None, pairs=[]
    )
    phase = {"name": "only", "tokens": 300_000, "max_tokens": 256, "rows_per_step": 4, "rows_per_micro_batch": 4}
    phase["optimizer"] = {"peak_lr": 5e-3}
    start = (
        {"init": str(init), "tokenizer": {"from_init": True}}
        if init
        else {"model": SHAPE, "tokenizer": {"path": str(folder / "tokenizer")}}
    )
    recipe = parse(RunSettings, {"description": "A test", "phases": [phase], "device": "cpu", **start})
    return pretrain(recipe, build_corpus(settings, folder / "corpus"), folder / "run").model


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(sentences(ENGLISH_WORDS, 50, 0) + sentences(GERMAN_WORDS, 50, 0), 400)


@pytest.fixture(scope="module")
def english(tmp_path_factory, tokenizer) -> Path:
    """A model that knows the English words' order and has never seen the German ones."""
    return trained(
        tmp_path_factory.mktemp("english") / "made", tokenizer, [f"{text} {i}" for i, text in enumerate(sentences(ENGLISH_WORDS, 200, 1))]
    )


@pytest.fixture(scope="module")
def german(tmp_path_factory, tokenizer, english) -> Path:
    """The same model after it went on with German alone."""
    texts = [f"{text} {i}" for i, text in enumerate(sentences(GERMAN_WORDS, 200, 1))]
    return trained(tmp_path_factory.mktemp("german") / "made", tokenizer, texts, init=english)


def test_a_word_stands_between_white_space_and_an_ideograph_alone():
    assert words("St. p. MI,\n心梗か ok") == [(0, 3), (4, 6), (7, 10), (11, 12), (12, 13), (13, 14), (15, 17)]
    assert has_words("Schmerz in der Brust")
    assert has_words("боль в груди")
    assert not has_words("患者胸痛, 三天")


def test_the_same_words_are_hidden_whatever_the_vocabulary():
    texts = [" ".join(f"Wörter{i}" for i in range(60)), "患者因胸痛入院三天后出院随访" * 3]
    plain, merged = bytes_alone(), train(texts * 3, 400)
    assert sum(map(len, merged.encode_batch(texts))) < 0.7 * sum(map(len, plain.encode_batch(texts)))
    shown = []
    for tokenizer in (plain, merged):
        found = hide(tokenizer, texts, seed=5)
        assert [one.text for one in found] == [0] * PASSES + [1] * PASSES
        for one in found:
            whole = one.input_ids.copy()
            whole[one.positions] = one.labels
            assert whole.tolist() == tokenizer.wrap(tokenizer.encode_batch([texts[one.text]])[0]).tolist()
            assert set(one.input_ids[one.positions].tolist()) == {tokenizer.mask_id}
        shown.append([tokenizer.decode(one.labels.tolist()).replace(" ", "") for one in found[:PASSES]])
    assert shown[0] == shown[1]
    numbers = [re.findall(r"Wörter(\d+)", one) for one in shown[0]]
    assert [len(some) for some in numbers] == [9, 9]
    assert not set(numbers[0]) & set(numbers[1])


def test_fertility_is_what_counting_gives(tmp_path):
    encoder = Encoder.from_pretrained(untrained(tmp_path / "m", bytes_alone()), device="cpu")
    texts = {"eng": ["ab cde", "f", "gh"], "rus": ["аб где", "ж", "зи"], "zho": ["心 梗", "痛", "热"]}
    groups = {name: Group.of(name, [Text(text, str(i)) for i, text in enumerate(some)], 500) for name, some in texts.items()}
    findings = Findings(groups)
    fertility(findings, {"model": encoder})
    found = findings.fertility["model"]
    assert [one.bytes_per_token.value for one in found.values()] == [1, 1, 1]
    assert found["eng"].per_word.value == pytest.approx((6 + 1 + 2) / 4)
    assert found["rus"].per_word.value == pytest.approx((11 + 2 + 4) / 4)
    assert found["zho"].per_word is None
    assert found["eng"].beside_english is None
    assert found["rus"].beside_english.value == pytest.approx((11 + 2 + 4) / (6 + 1 + 2))


def test_a_language_is_laid_beside_english_by_article_alone():
    groups = {
        "eng": Group("eng", ["a", "b", "c", "d"], ["1", "2", "3", "4"], 4, None),
        "deu": Group("deu", ["a", "b", "c", "x"], ["3", "2", "1", "9"], 4, None),
    }
    values = {"eng": np.array([1.0, 2.0, 3.0, 50.0]), "deu": np.array([9.0, 4.0, 2.0, 70.0])}
    assert parallel(groups, "deu", values).value == pytest.approx(15 / 6)
    few = groups | {"deu": Group("deu", ["a", "b"], ["3", "2"], 2, None)}
    assert parallel(few, "deu", values | {"deu": np.array([9.0, 4.0])}) is None


def test_knowing_nothing_costs_eight_bits_a_byte_and_frequencies_what_they_say(tmp_path):
    tokenizer = bytes_alone()
    encoder = Encoder.from_pretrained(untrained(tmp_path / "m", tokenizer), device="cpu")
    texts = sentences(GERMAN_WORDS, 5, 0)
    assert masked_bits(encoder, texts).bits_per_byte == pytest.approx(np.log2(261), abs=0.25)
    assert unigram_bits(tokenizer, ["ab" * 20_000], ["abba baab " * 20]).bits_per_byte == pytest.approx(1, abs=0.6)
    assert unigram_bits(tokenizer, ["ab" * 20_000], ["xyzx zyxz " * 20]).bits_per_byte > 14


def test_texts_are_cut_between_characters():
    text = "Größe 心梗 — ok" * 9
    for size in (4, 7, 50):
        pieces = cut(text, size)
        assert "".join(pieces) == text
        assert max(len(piece.encode()) for piece in pieces) <= size


def test_a_model_knows_the_language_it_was_trained_on_and_no_other(english, pubmed):
    section = SECTIONS["languages"](Subject(english, pubmed=pubmed, device="cpu"), silent)
    found = section.metrics
    assert list(found) == ["eng", "deu"]
    assert [found[name]["documents"] for name in found] == [12, 12]
    assert found["eng"]["bits_per_byte"]["model"]["high"] < 0.5 * found["eng"]["bits_per_byte"]["untrained"]["low"]
    assert found["deu"]["bits_per_byte"]["model"]["low"] > 3 * found["eng"]["bits_per_byte"]["model"]["high"]
    assert found["deu"]["bits_beside_english"]["model"]["low"] > 3
    assert "better than every baseline in 0 of 1 other languages" in section.findings[1].reading


def test_what_was_forgotten_is_found_and_a_model_beside_itself_forgot_nothing(english, german, tmp_path):
    for name, vocabulary in (("english", ENGLISH_WORDS), ("german", GERMAN_WORDS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(vocabulary, 20, 5)))
    texts = {name: tmp_path / f"{name}.jsonl" for name in ("english", "german")}
    subject = Subject(german, {"before": english, "itself": german}, texts=texts, device="cpu")
    (finding,) = SECTIONS["languages"](subject, silent).findings
    english_change, german_change = (row[-1] for row in finding.tables[0].rows)
    assert english_change.interval[0] > 0.5
    assert german_change.interval[1] < -0.5
    assert "english became dearer" in finding.reading
    assert "german became cheaper" in finding.reading
    (same,) = SECTIONS["languages"](Subject(german, {"itself": german}, texts=texts, device="cpu"), silent).findings
    assert same.reading.count("not distinguishably dearer or cheaper (+0.000") == 2
    assert "not known" in forgetting_reading(Findings({}), [], None)


def test_abstracts_come_without_titles_and_say_whether_they_were_trained_on(pubmed, tmp_path):
    from_xml = in_languages(Subject(tmp_path, pubmed=pubmed))
    corpus = build_corpus(
        CorpusSettings(sources=[PubMed(pubmed)], near_duplicates=None, quality=None, validation_fraction=0.3), tmp_path / "c"
    )
    from_corpus = in_languages(Subject(tmp_path, corpus=tmp_path / "c"))
    for found in (from_xml, from_corpus):
        assert {name: len(texts) for name, texts in found.items()} == {"eng": 12, "deu": 12}
        assert not any("Title" in one.text for one in found["eng"])
    assert {one.trained for one in from_xml["deu"]} == {None}
    held_out = sum(not one.trained for texts in from_corpus.values() for one in texts)
    assert 0 < held_out <= corpus.manifest.documents("validation")


def test_a_corpus_that_holds_nothing_out_has_no_text_of_that_name(tmp_path):
    (tmp_path / "some.jsonl").write_text("".join(json.dumps({"text": f"{text} {i}"}) + "\n" for i, text in enumerate(ENGLISH_WORDS)))
    source = Files(tmp_path / "some.jsonl", access="open")
    build_corpus(CorpusSettings(sources=[source], near_duplicates=None, quality=None, validation_fraction=0), tmp_path / "c")
    found = by_name(Subject(tmp_path, corpus=tmp_path / "c", texts={"some": tmp_path / "some.jsonl"}), 100)
    assert set(found) == {"some"}


@pytest.mark.parametrize("name", ["deu", "held out"])
def test_a_name_that_a_language_has_is_refused(english, pubmed, name):
    with pytest.raises(ConfigError, match="Give another name"):
        SECTIONS["languages"](Subject(english, pubmed=pubmed, texts={name: pubmed}, device="cpu"), silent)


def test_one_long_file_is_as_many_documents_as_pieces(english, tmp_path):
    (tmp_path / "book.txt").write_text(" ".join(sentences(GERMAN_WORDS, 30, 0)))
    found = SECTIONS["languages"](Subject(english, texts={"book": tmp_path / "book.txt"}, device="cpu"), silent).metrics["book"]
    assert found["pieces"] == -(-found["bytes"] // 510)
    assert found["bits_per_byte"]["model"]["low"] < found["bits_per_byte"]["model"]["high"]


def test_the_command_writes_a_page_that_loads_nothing_and_numbers_that_match(english, pubmed, tmp_path, capsys):
    (tmp_path / "news.jsonl").write_text(json.dumps({"text": sentences(GERMAN_WORDS, 1, 0)[0]}) + "\n")
    options = ["--pubmed", str(pubmed), "--texts", f"news={tmp_path / 'news.jsonl'}", "--device", "cpu", "-o", str(tmp_path / "report")]
    assert main(["analyze", "languages", str(english), *options, "-q", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert set(printed["languages"]) == {"eng", "deu", "news"}
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert f"{printed['languages']['deu']['bits_per_byte']['model']['value']:.3f}" in page
    assert sentences(GERMAN_WORDS, 1, 0)[0] not in page + json.dumps(printed)
    pictures = {path.name for path in (tmp_path / "report" / "figures").iterdir()}
    assert {"languages-fertility.svg", "languages-loss.png", "languages-texts.png"} <= pictures


def test_what_is_missing_is_one_line(english, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "english.xml").write_text(f"<PubmedArticleSet>{citation(0, {})}</PubmedArticleSet>")
    for given, said in (
        ([], "Pass --pubmed, --corpus, or --texts NAME=FILE"),
        (["--texts", "news"], "needs a name of its own and a file"),
        (["--texts", f"news={tmp_path / 'empty.jsonl'}"], "no text in it"),
        (["--pubmed", str(tmp_path / "english.xml")], "no abstract in another language"),
    ):
        assert main(["analyze", "languages", str(english), *given, "-o", str(tmp_path / "r")]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        assert said in error
    with pytest.raises(ConfigError, match="Pass --pubmed"):
        SECTIONS["languages"](Subject(english), silent)


def test_all_leaves_out_what_lacks_material_and_its_page_leads_everywhere_within_itself(english, pubmed, tmp_path, capsys, monkeypatch):
    def lacking(subject: Subject, progress: Progress) -> Section:
        raise ConfigError("something is needed. Pass --something.")

    def short(subject: Subject, progress: Progress) -> Section:
        return Section("short", "A second section", "About.", [Finding("One", "Read <this>.")], {"one": 1}, "Nothing.")

    monkeypatch.setattr(run, "SECTIONS", {"lacking": lacking, "short": short, "languages": SECTIONS["languages"]})
    monkeypatch.setattr(analysis, "SECTIONS", run.SECTIONS)
    arguments = ["analyze", "all", str(english), "--pubmed", str(pubmed), "--device", "cpu", "-o", str(tmp_path / "report"), "-q"]
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert [one["title"] for one in printed["sections"]] == ["A second section", "Languages and domains: what other text costs"]
    page = (tmp_path / "report" / "index.html").read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {"#short", "#short-1", "#languages", "#languages-1", "#languages-2"} <= set(links)
    assert {link.removeprefix("#") for link in links} <= set(re.findall(r'\bid="([^"]+)"', page))
    assert not re.findall(r"@import|url\(http", page)
    assert "Read &lt;this&gt;." in page
    assert "<b>lacking</b>: something is needed. Pass --something." in page
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert "left out: lacking: something is needed" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_costs_one_section(tmp_path, monkeypatch):
    def unreadable(subject: Subject, progress: Progress) -> Section:
        raise DataError("no such file (names.csv). Correct --patients.")

    def short(subject: Subject, progress: Progress) -> Section:
        return Section("short", "A section", "About.", [], {}, "Nothing.")

    monkeypatch.setattr(run, "SECTIONS", {"unreadable": unreadable, "short": short})
    monkeypatch.setattr(run, "write_report", lambda output, *about: output)
    report = run.analyze(Subject(tmp_path), ["unreadable", "short"], tmp_path / "report")
    assert report.left_out == {"unreadable": "no such file (names.csv). Correct --patients."}
    assert [one.title for one in report.sections] == ["A section"]
    with pytest.raises(DataError):
        run.analyze(Subject(tmp_path), ["unreadable"], tmp_path / "report")


def test_python_writes_the_same_report(english, tmp_path):
    (tmp_path / "news.jsonl").write_text(json.dumps({"text": sentences(GERMAN_WORDS, 1, 0)[0]}) + "\n")
    report = clinical_modernbert.analyze(
        english, tmp_path / "r", sections=["languages"], texts={"news": tmp_path / "news.jsonl"}, device="cpu"
    )
    assert list(report.sections[0].metrics) == ["news"]
    assert report.page.is_file()
    with pytest.raises(ConfigError, match="no section 'langauges'"):
        clinical_modernbert.analyze(english, tmp_path / "s", sections=["langauges"])
