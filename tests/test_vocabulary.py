"""Words, characters and subwords: to ids and back, and what is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlib.data.vocabulary import BOS, EOS, PAD, UNK, Subwords, Vocabulary, characters, words

SENTENCES = [
    "A man's T-shirt is blue.",
    "A man is walking, slowly.",
    "Two men are walking in a park.",
    "Zwei Männer stehen an einer Straße.",
] * 2
WHOLE = Vocabulary(SENTENCES)
PIECES = Subwords(SENTENCES, 60)
CHINESE = Vocabulary(["你好。", "我 不 知道。"], characters, least=1)


def test_words_are_split_as_stated():
    assert words("A man's T-shirt, “2 x 3.5”!") == [
        *("a", "man's", "t-shirt", ",", "“", "2", "x", "3", ".", "5", "”", "!")
    ]
    assert words("Straße ÄÖÜ café 你好") == ["straße", "äöü", "café", "你好"]
    assert words("") == words(" \n") == []
    assert words("-a- 'b' c-") == ["-", "a", "-", "'", "b", "'", "c", "-"]
    assert words("😀 ok") == ["😀", "ok"]


def test_characters_have_no_spaces():
    assert characters(" 你 好\u3000OK。") == ["你", "好", "o", "k", "。"]


def test_the_four_special_ids_are_the_same_everywhere():
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    for vocabulary in (WHOLE, PIECES, CHINESE):
        assert vocabulary.encode("") == [EOS]
        assert vocabulary.decode([BOS, EOS, 5, 6]) == vocabulary.decode([]) == ""
        assert vocabulary.pieces([BOS, UNK, PAD, EOS, 5])[0] == "<unk>"
        assert len(vocabulary.pieces([BOS, UNK, PAD, EOS, 5])) == 1


def test_frequent_words_come_first_and_ties_in_alphabetical_order():
    vocabulary = Vocabulary(["b c a b", "d b a", "<unk> <unk>"])
    assert vocabulary.tokens == ["<pad>", "<bos>", "<eos>", "<unk>", "b", "<", ">", "a", "unk"]
    assert vocabulary.V == 9
    assert Vocabulary(["a a"], str.split).encode("<eos> a") == [UNK, 4, EOS]
    assert Vocabulary(["b c a b"], least=1).tokens[4:] == ["b", "a", "c"]


@given(st.sampled_from(SENTENCES))
def test_what_was_trained_on_survives(sentence):
    assert WHOLE.decode(WHOLE.encode(sentence)) == sentence.lower()
    assert PIECES.decode(PIECES.encode(sentence)) == sentence.lower()


@given(st.text())
def test_any_text_can_be_encoded(text):
    for vocabulary in (WHOLE, PIECES, CHINESE):
        ids = vocabulary.encode(text)
        assert ids[-1] == EOS
        assert all(UNK <= k < vocabulary.V for k in ids[:-1])
        assert isinstance(vocabulary.decode(ids), str)


def test_what_is_unknown_is_counted():
    assert WHOLE.unknown(["A green park.", "", "men"]) == (1, 5)
    assert WHOLE.decode(WHOLE.encode("A green park.")) == "a <unk> park."
    assert PIECES.unknown(["A man", "你"])[0] == 1
    assert CHINESE.unknown(["你们好。"]) == (1, 4)


def test_chinese_is_joined_without_spaces():
    assert CHINESE.decode(CHINESE.encode("你 不 知道。")) == "你不知道。"


def test_subwords_are_lower_case_and_the_same_each_time():
    assert PIECES.V == 60
    assert PIECES.encode("A MAN") == PIECES.encode("a man") != [UNK, EOS]
    again = Subwords(SENTENCES, 60)
    for sentence in SENTENCES:
        assert again.encode(sentence) == PIECES.encode(sentence)
    unseen = PIECES.encode("walkings")
    assert UNK not in unseen
    assert PIECES.decode(unseen) == "walkings"


@pytest.mark.parametrize("V", [5, 5000])
def test_a_size_that_cannot_be_is_named(V):
    with pytest.raises(ValueError, match=f"finds no {V} pieces"):
        Subwords(SENTENCES, V)
