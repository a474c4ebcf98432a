import pytest
import tokenizers

from clinical_modernbert.tokenization import Tokenizer, correspondence, train

OLD = ["Acute myocardial infarction.", "Chronic kidney disease, stage 3"] * 20
NEW = ["Acute cholecystitis, gallstones.", "café", "naïve, 5 µg", "中丨丩丫中丨丩丫"] * 20


@pytest.fixture(scope="module")
def old() -> Tokenizer:
    return train(OLD, 330)


@pytest.fixture(scope="module")
def new() -> Tokenizer:
    return train(NEW, 340)


def special(tokenizer: Tokenizer) -> list[int]:
    return [tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.mask_id]


def test_the_same_vocabulary_is_itself(old):
    assert correspondence(old, old) == [[index] for index in range(len(old))]


def test_a_piece_that_both_have_is_one_id_and_another_is_spelt(old, new):
    found = correspondence(old, new)
    for index in new.ordinary_ids.tolist():
        pieces = [old.pieces[other] for other in found[index]]
        assert "".join(pieces) == new.pieces[index]
        assert (len(pieces) == 1) == (new.pieces[index] in old.pieces)
    assert 0 < sum(len(ids) > 1 for ids in found) < len(new) - 261


def test_a_new_piece_is_spelt_as_the_old_tokenizer_does(old, new):
    index = new.pieces.index("Acute")
    assert correspondence(old, new)[index] == [old.pieces.index("Acute")]
    index = next(i for i, piece in enumerate(new.pieces) if piece.startswith("Ġg") and len(piece) > 4)
    text = new.decode([index])
    assert correspondence(old, new)[index] == old.encode_batch([text])[0].tolist()


def test_special_tokens_keep_their_role_whatever_their_ids():
    backend = tokenizers.Tokenizer.from_str(train(OLD, 300).to_json())
    settings = backend.to_str().replace('"[CLS]"', '"[X]"').replace('"[SEP]"', '"[CLS]"').replace('"[X]"', '"[SEP]"')
    swapped, plain = Tokenizer.from_json(settings), train(OLD, 300)
    assert swapped.cls_id != plain.cls_id
    found = correspondence(swapped, plain)
    assert [found[index] for index in special(plain)] == [[index] for index in special(swapped)]


def test_bytes_that_are_no_text_are_spelt_one_by_one(old, new):
    index = new.pieces.index("ä¸")  # E4 B8, with which all four characters begin
    assert correspondence(old, new)[index] == [old.pieces.index("ä"), old.pieces.index("¸")]


def test_an_added_token_is_the_piece_of_the_same_text(new):
    backend = tokenizers.Tokenizer.from_str(train(OLD, 300).to_json())
    backend.add_tokens(["café", "[unused0]"])
    added = Tokenizer(backend)
    index = new.pieces.index("cafÃ©")
    assert correspondence(added, new)[index] == [300]
    assert correspondence(new, added)[300:] == [[index], []]
