"""Retrieval in BEIR's layout: NFCorpus, PMC-Patients."""

from collections import Counter
from collections.abc import Mapping, Sequence

from clinical_modernbert.tasks.examples import Retrieval, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder

_PARTS = ("train", "dev", "test")


def nfcorpus(folder: DataFolder) -> Splits[Retrieval]:
    """Questions of laypeople, from a site on nutrition; what answers are abstracts of PubMed that its articles link to."""
    questions = _texts(folder, "queries.jsonl")
    return _splits(folder, ("corpus.jsonl",), [questions] * 3, [(f"qrels/{part}.tsv",) for part in _PARTS])


def pmc_patients_ppr(folder: DataFolder) -> Splits[Retrieval]:
    """Patients of case reports; what answers are patients whose reports cite one another."""
    return _pmc_patients(folder, "PPR")


def pmc_patients_par(folder: DataFolder) -> Splits[Retrieval]:
    """Patients of case reports; what answers are the articles that are cited with them."""
    return _pmc_patients(folder, "PAR")


def _pmc_patients(folder: DataFolder, task: str) -> Splits[Retrieval]:
    questions = [_texts(folder, f"{part}_queries.jsonl") for part in _PARTS]
    relevant = [(f"{task}/qrels_{part}.tsv", f"{task}_{part}_qrels.tsv") for part in _PARTS]
    return _splits(folder, (f"{task}/corpus.jsonl", f"{task}_corpus.jsonl"), questions, relevant)


def _splits(
    folder: DataFolder, corpus: Sequence[str], questions: Sequence[Mapping[str, str]], relevant: Sequence[Sequence[str]]
) -> Splits[Retrieval]:
    """The parts, each with the questions that something answers."""
    counted: Counter[str] = Counter()
    texts = _texts(folder, *corpus)
    train, dev, test = (_part(folder, texts, asked, names, counted) for asked, names in zip(questions, relevant, strict=True))
    answered = {id for part in (train, dev, test) for id in part.relevant}
    counted["question without an answer"] += len({id for asked in questions for id in asked} - answered)
    return Splits(train, dev, test, counted)


def _texts(folder: DataFolder, *names: str) -> dict[str, str]:
    """Texts by their ids, each behind its title where it has one."""
    return {
        str(item["_id"]): f"{item.get('title') or ''} {item['text']}".strip()
        for _, item in folder.json_lines(*names, needed=("_id", "text"))
    }


def _part(
    folder: DataFolder, texts: Mapping[str, str], questions: Mapping[str, str], names: Sequence[str], counted: Counter[str]
) -> Retrieval:
    relevant: dict[str, dict[str, int]] = {}
    for number, (question, text, score) in folder.rows(*names, columns=3):
        if number == 1 and not score.isdecimal():
            continue  # the names of the columns
        if question not in questions or not score.isdecimal():
            raise folder.damaged(folder.find(*names), "no question that is there, text and whole number", f"line {number}")
        if text not in texts:
            counted["answer that is not in the corpus"] += 1
        elif int(score) > 0:
            relevant.setdefault(question, {})[text] = int(score)
    return Retrieval(texts, {id: questions[id] for id in relevant}, relevant)
