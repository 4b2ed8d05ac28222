"""How good a net is, in the field's units."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from rnnlib.data.batches import Blocks
from rnnlib.nets.precision import device_of, evaluating


def nats_stream(net, ids, *, precision="float32", chunk=2048):
    """Mean loss over a whole text read as one stream, its state carried to the end.

    Parameters
    ----------
    net : rnnlib.nets.language_model.LanguageModel
        Or any net that returns logits and a state.
    ids : array_like of int
        Shape (N,), N at least 2: the first token is given, all others are predicted.
    precision : {"float32", "bfloat16", "float16"}
        In which the net computes; the losses are summed in float64.
    chunk : int
        Tokens computed at once; changes memory, not the result.

    Returns
    -------
    float
        Nats for each token.
    """
    ids = torch.as_tensor(ids, device=device_of(net)).long()
    if ids.ndim != 1 or len(ids) < 2:
        raise ValueError(f"expected at least 2 ids in one dimension, got {tuple(ids.shape)}")
    total, state = 0.0, None
    with evaluating(net, precision):
        for k in range(0, len(ids) - 1, chunk):
            window = ids[None, k : k + chunk + 1]
            logits, state = net(window[:, :-1], state)
            total += _sum_loss(logits, window[:, 1:])
    return total / (len(ids) - 1)


def nats_blocks(net, ids, T=256, *, n=512, B=64, seed=0, precision="float32"):
    """Mean loss over random blocks, each read from a zero state.

    Parameters
    ----------
    net : rnnlib.nets.language_model.LanguageModel
        Or any net that returns logits and a state.
    ids : array_like of int
        Shape (N,), N at least T + 1.
    T : int
        Length of a block.
    n : int
        Number of blocks, rounded up to a multiple of B.
    B : int
        Blocks computed at once.
    seed : int
        Of the blocks' places.
    precision : {"float32", "bfloat16", "float16"}
        In which the net computes; the losses are summed in float64.

    Returns
    -------
    float
        Nats for each token.
    """
    blocks = Blocks(ids, B, T, seed=seed, device=device_of(net))
    batches = -(-n // B)
    total = 0.0
    with evaluating(net, precision):
        for step in range(batches):
            x, y, _ = blocks(step)
            total += _sum_loss(net(x)[0], y)
    return total / (batches * B * T)


@dataclass(frozen=True)
class Score:
    """A score of translations, and what it takes to compare it with another.

    Attributes
    ----------
    value : float
        0..100, higher is better.
    signature : str
        SacreBLEU's: the metric, its settings and the version. Scores with other signatures
        are other scores.
    """

    value: float
    signature: str

    def __str__(self):
        """Show the value with one decimal, and the signature."""
        return f"{self.value:.1f} ({self.signature})"


def bleu(hypotheses, references, *, tokenize="13a", lowercase=True):
    """BLEU of a corpus, by sacreBLEU [1]_: n-gram precision with a penalty for brevity [2]_.

    Parameters
    ----------
    hypotheses, references : list of str
        Translations, and one human translation for each, as text and not as tokens; a
        hypothesis may be empty.
    tokenize : str
        Sacrebleu's own splitting: "13a" for European languages, "zh" for Chinese.
    lowercase : bool
        Whether case is ignored.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If there are none, or not as many of both.

    References
    ----------
    .. [1] M. Post, A call for clarity in reporting BLEU scores, WMT 2018.
    .. [2] K. Papineni, S. Roukos, T. Ward, W.-J. Zhu, BLEU: a method for automatic evaluation
       of machine translation, ACL 2002.
    """
    from sacrebleu.metrics import BLEU

    # Without its advice on tokenised text: a dot stands alone here only if the net put it so.
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    return _corpus(metric, hypotheses, references)


def chrf(hypotheses, references, *, lowercase=True):
    """ChrF of a corpus, by sacreBLEU: F-score of character n-grams, recall counting double.

    Parameters, return value and errors are those of :func:`bleu`; nothing is split, so it
    needs no tokeniser and suits Chinese.

    References
    ----------
    M. Popović, chrF: character n-gram F-score for automatic MT evaluation, WMT 2015.
    """
    from sacrebleu.metrics import CHRF

    return _corpus(CHRF(lowercase=lowercase), hypotheses, references)


def _corpus(metric, hypotheses, references):
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("expected lists of sentences, got one string: put it in a list")
    if len(hypotheses) != len(references) or not len(references):
        raise ValueError(
            f"expected as many references as hypotheses, at least one, got {len(references)} "
            f"and {len(hypotheses)}"
        )
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(value, str(metric.get_signature()))


def _sum_loss(logits, targets):
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return loss.double().sum().item()
