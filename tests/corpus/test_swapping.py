"""Group terms are swapped as people would write them, and what is no group term stays."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.text.swapping import Swapped, dictionary, is_left_alone, swap

SEX, ETHNICITY, NEUTRAL = dictionary().sex, dictionary().ethnicity, dictionary().neutral


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He hurt himself; his wife drove him to us.", "She hurt herself; her husband drove her to us."),
        ("Her pain troubles her. A friend of hers was here.", "His pain troubles him. A friend of his was here."),
        ("We gave her a pill and asked her to rest.", "We gave him a pill and asked him to rest."),
        ("Mr. ___ is a 45-year-old male.", "Ms. ___ is a 45-year-old female."),
        ("SHE IS A LADY WITH HER SON.", "HE IS A GENTLEMAN WITH HIS DAUGHTER."),
        ("45 yo F, 30-year-old M, a 67F. Sex: F", "45 yo M, 30-year-old F, a 67M. Sex: M"),
        ("the man's brother and the men", "the woman's sister and the women"),
        ("his/her", "his/her"),
        ("He's well\nand she\nis not", "She's well\nand he\nis not"),
    ],
)
def test_sex_is_swapped_and_swapped_back(text, swapped):
    assert swap(text, SEX).text == swapped
    assert swap(swapped, SEX).text == text


@pytest.mark.parametrize(
    "text",
    [
        "Pacing of the bundle of His, a His-Purkinje block.",
        "Dr. Man and Sister Mary of Women's Hospital were called.",
        "HER2 positive, HER-2 negative, HER 2 unknown.",
        "MS and MR were found. Do not miss a dose.",
        "Temperature 98 F, then 101F. Size M.",
        "Vitals:\n102F, HR 80; a 99F reading.",
        "Developed HE with DAD on biopsy.",
        "A man-made valve.",
    ],
)
def test_names_and_abbreviations_are_no_group(text):
    assert swap(text, SEX) == Swapped(text, (), (0, 0))


def test_a_title_that_comes_back_as_another_is_swapped_one_way():
    assert swap("Mrs. Smith and Miss Lee", SEX).text == "Mr. Smith and Mr Lee"


def test_colours_are_swapped_of_people_alone_and_articles_follow():
    text = "An African American man, a white woman, white blood cells, black stool. A Caucasian boy."
    swapped = "A Caucasian man, a black woman, white blood cells, black stool. An African American boy."
    assert swap(text, ETHNICITY).text == swapped
    assert swap(swapped, ETHNICITY).text == text


def test_what_makes_no_sense_swapped_is_recognised():
    assert all(is_left_alone(text, SEX) for text in ("She is Pregnant.", "PROSTATECTOMY", "Uterine bleeding", "Cervix normal"))
    assert not any(is_left_alone(text, SEX) for text in ("Cervical spine, lactate 2.", "She has a rash.", "Breast cancer"))
    assert not is_left_alone("She is pregnant.", NEUTRAL)


def test_places_are_found_again_in_the_swapped_text():
    text = "She and her mother took Aspirin; he took Warfarin with his father."
    swapped = swap(text, SEX)
    for word in ("Aspirin", "Warfarin", "took", "with"):
        place = text.index(word)
        assert swapped.text[swapped.moved(place) : swapped.moved(place + len(word))] == word
    assert swapped.moved(len(text)) == len(swapped.text)
    assert swapped.sides == (3, 3)


@pytest.mark.parametrize(("text", "swaps", "term"), [("Seen by a man.", SEX, "woman"), ("There is a large hernia.", NEUTRAL, "big")])
def test_a_term_is_found_again_behind_its_article(text, swaps, term):
    first, swapped = next(word for word in ("man", "large") if word in text), swap(text, swaps)
    begin = text.index(first)
    assert swapped.text[swapped.moved(begin) : swapped.moved(begin + len(first))] == term


WORDS = [
    "she",
    "he",
    "his",
    "pain",
    "the",
    "woman",
    "man",
    "sister",
    "brother",
    "Mr. Lee",
    "Ms. Lee",
    "himself",
    "herself",
    "is",
    "45 yo F",
    "of",
]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: " ".join([*words, "."])))
def test_swapping_twice_gives_the_first_text(text):
    once = swap(text, SEX)
    assert swap(once.text, SEX).text == text
    assert swap(once.text, SEX).sides == once.sides[::-1]


@given(st.text())
def test_any_text_keeps_all_but_its_terms(text):
    swapped = swap(text, SEX)
    done, rebuilt = 0, ""
    for start, end, replacement in swapped.edits:
        assert done <= start < end
        rebuilt += text[done:start] + replacement
        done = end
    assert rebuilt + text[done:] == swapped.text


def test_every_term_of_the_file_is_swapped_for_the_other():
    for swaps in (SEX, ETHNICITY, NEUTRAL):
        for one, other in swaps.pairs:
            if one != "Mr":
                assert swap(f"x {one} x", swaps).text == f"x {other} x"
                assert swap(f"x {other} x", swaps).text == f"x {one} x"
    assert not re.search(r"(?m)^ +- \[(\w+), \1\]", "\n".join(f" - [{a}, {b}]" for a, b in SEX.pairs))
