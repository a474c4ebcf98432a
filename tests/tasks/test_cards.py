"""Every card names a loader that there is, and says what a reader needs."""

from importlib.resources import files

import numpy as np
import pytest

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.card import Card, Metric
from clinical_modernbert.tasks.examples import LabelledText, Splits, TaggedText
from clinical_modernbert.tasks.metrics import Outcome, ranking
from clinical_modernbert.tasks.problems import problem_of, words_of
from clinical_modernbert.tasks.results import score
from clinical_modernbert.tasks.suite import expand
from clinical_modernbert.tokenization import Tokenizer, train

CARDS = catalogue.cards()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(["some text"], 300)


def test_there_is_a_card_for_each_file_under_its_name() -> None:
    names = {file.name.removesuffix(".yaml") for file in (files("clinical_modernbert.tasks") / "cards").iterdir()}
    assert names == set(CARDS)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_card_leads_to_its_loader_and_says_where_to_get_the_data(card: Card) -> None:
    assert catalogue.loader(card).__doc__
    assert card.url.startswith(("https://", "http://"))
    assert card.get
    assert card.citation
    assert all(figure.source for figure in card.published)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_all_metrics_of_a_card_are_made_of_what_a_model_says(card: Card, tokenizer: Tokenizer) -> None:
    rng = np.random.default_rng(0)
    examples: list[TaggedText] | list[LabelledText] = [LabelledText(str(n), "text", ("ab"[n % 2],), value=float(n)) for n in range(12)]
    if card.kind == "ner":
        examples = [TaggedText(str(n), "some text", (Span(0, 4, "a"),)) for n in range(12)]

    def said(metric: Metric) -> Outcome:
        if card.kind == "retrieval":
            return ranking([["x", "y"]] * 12, [{"y": 1}] * 12)
        problem = problem_of(card.kind, card.no_class, examples, tokenizer, 8)
        decisions = [len(words_of(example)) if isinstance(example, TaggedText) else 1 for example in examples]
        return problem.outcome(examples, [rng.normal(size=(count, problem.num_outputs)) for count in decisions], metric)

    found = score(said, catalogue.TaskData(card, Splits(examples, examples, examples), ""))
    assert found.further.keys() == set(card.further_metrics)
    assert all(0 <= abs(value) <= 1 for value in (found.value, *found.further.values()))


def test_every_loader_has_a_card() -> None:
    used = {card.loader.partition(".")[0] for card in CARDS.values()}
    there = {
        file.name.removesuffix(".py") for file in (files("clinical_modernbert.tasks") / "loaders").iterdir() if file.name.endswith(".py")
    }
    assert there - used == {"__init__"}


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no task 'ncbi-diseases'\. Did you mean ncbi-disease\?"):
        catalogue.card("ncbi-diseases")


def test_names_of_lists_stand_for_their_tasks() -> None:
    assert {"pubmed-rct-20k", "pmc-patients-ppr", "mimic-ed-disposition"} < set(expand(["paper"]))
    assert "ncbi-disease" not in expand(["paper"])
    assert set(expand(["open", "credentialed", "ncbi-disease"])) == set(CARDS)
