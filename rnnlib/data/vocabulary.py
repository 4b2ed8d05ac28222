"""Sentences as ids and back: words, characters, or subwords, behind one small interface.

Each has ``V``, ``encode(sentence) -> ids`` with EOS at the end, ``decode(ids) -> sentence`` and
``unknown(sentences) -> (unknown, all)``. Four ids mean the same in all of them: PAD fills up a
batch, BOS starts a translation, EOS ends a sentence, and UNK is whatever the vocabulary lacks.
"""

import collections
import io
import re

PAD, BOS, EOS, UNK = range(4)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
_WORD = re.compile(r"\w+(?:[-'’]\w+)*|[^\w\s]")


def words(sentence):
    """Split a sentence into lower-case words; each punctuation mark is a word of its own.

    A hyphen or an apostrophe between letters does not split: "T-shirt", "woman's".

    Parameters
    ----------
    sentence : str
        Any, the empty one included.

    Returns
    -------
    list of str
    """
    return _WORD.findall(sentence.lower())


def characters(sentence):
    """Split a sentence into its lower-case characters without spaces, as suits Chinese."""
    return [c for c in sentence.lower() if not c.isspace()]


class Vocabulary:
    """The tokens that occur in some sentences, the most frequent first.

    Parameters
    ----------
    sentences : iterable of str
        Those to train on, and no others.
    split : callable
        ``split(sentence) -> list of str``: :func:`words` or :func:`characters`.
    least : int
        A token that occurs less often is left out, so that UNK occurs in training.

    Attributes
    ----------
    tokens : list of str
        The V tokens by their ids, the four special ones first.
    """

    def __init__(self, sentences, split=words, least=2):
        counts = collections.Counter(token for s in sentences for token in split(s))
        kept = [token for token, count in counts.items() if count >= least]
        self.tokens = [*SPECIAL, *sorted(kept, key=lambda token: (-counts[token], token))]
        self.split = split
        self._ids = {token: k for k, token in enumerate(self.tokens) if k > UNK}

    @property
    def V(self):
        """How many tokens there are."""
        return len(self.tokens)

    def encode(self, sentence):
        """Return the ids of a sentence's tokens, and EOS: list of int."""
        return [self._ids.get(token, UNK) for token in self.split(sentence)] + [EOS]

    def pieces(self, ids):
        """Return the tokens of ids up to EOS, which is left out: list of str."""
        return [self.tokens[k] for k in _inside(ids)]

    def decode(self, ids):
        """Return the sentence of ids up to EOS: str.

        Words are joined by spaces, but for the punctuation that follows a word; characters
        are joined as they are.
        """
        if self.split is characters:
            return "".join(self.pieces(ids))
        return re.sub(r" ([.,;:!?)\]])", r"\1", " ".join(self.pieces(ids)))

    def unknown(self, sentences):
        """Count the tokens of some sentences that are UNK, and all of them: (int, int)."""
        ids = [k for sentence in sentences for k in self.encode(sentence)[:-1]]
        return ids.count(UNK), len(ids)


class Subwords:
    """Byte-pair encoding by SentencePiece: frequent words whole, rare ones in pieces.

    Parameters
    ----------
    sentences : iterable of str
        Those to train on, and no others; they are lower-cased.
    V : int
        How many pieces, the four special ones and all single characters included.

    Raises
    ------
    ValueError
        If the sentences do not have so many pieces, or more characters than V.

    References
    ----------
    R. Sennrich, B. Haddow, A. Birch, Neural machine translation of rare words with subword
    units, ACL 2016; T. Kudo, J. Richardson, SentencePiece, EMNLP 2018 (the library).
    """

    def __init__(self, sentences, V):
        import sentencepiece

        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter([s.lower() for s in sentences]),
                model_writer=model,
                model_type="bpe",
                vocab_size=V,
                character_coverage=1.0,
                pad_id=PAD,
                bos_id=BOS,
                eos_id=EOS,
                unk_id=UNK,
                num_threads=1,  # the same pieces on every machine
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ValueError(
                f"SentencePiece finds no {V} pieces in these sentences: {error}"
            ) from error
        self._model = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        self.V = self._model.vocab_size()

    def encode(self, sentence):
        """Return the ids of a sentence's pieces, and EOS: list of int."""
        return [*self._model.encode(sentence.lower()), EOS]

    def pieces(self, ids):
        """Return the pieces of ids up to EOS, which is left out: list of str."""
        return [self._model.id_to_piece(k) for k in _inside(ids)]

    def decode(self, ids):
        """Return the sentence of ids up to EOS: str."""
        return self._model.decode(_inside(ids))

    def unknown(self, sentences):
        """Count the pieces of some sentences that are UNK, and all of them: (int, int)."""
        ids = [k for sentence in sentences for k in self.encode(sentence)[:-1]]
        return ids.count(UNK), len(ids)


def _inside(ids):
    """The ids before the first EOS, as ints, without BOS and PAD."""
    ids = [int(k) for k in ids]
    ids = ids[: ids.index(EOS)] if EOS in ids else ids
    return [k for k in ids if k not in (PAD, BOS)]
