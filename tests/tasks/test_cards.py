"""Every card names a loader that there is, and says what a reader needs."""

from importlib.resources import files

import pytest

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.card import Card
from clinical_modernbert.tasks.suite import expand

CARDS = catalogue.cards()


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
