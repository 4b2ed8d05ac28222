"""A small Transformer from sequence to sequence, as the other row beside a recurrent net."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from rnnlib.data.vocabulary import BOS
from rnnlib.nets import inputs


class Transformer(nn.Module):
    """Encoder and decoder of self-attention, with the methods of :class:`.seq2seq.Seq2Seq`.

    The layers are PyTorch's, normed at their entry [2]_; the positions are sines and cosines,
    as in [1]_, so that no sentence is too long. The read-out uses the target embedding's matrix.

    Parameters
    ----------
    V_source, V_target : int
        Sizes of the vocabularies; ids as in :mod:`rnnlib.data.vocabulary`.
    D : int
        Width of the embeddings and of every layer, even.
    layers : int
        Of the encoder, and of the decoder.
    heads : int
        Divides D.
    F : int
        Width of the feed-forward part of a layer; 2 D if not given.
    dropout : float
        Of the embeddings and in every layer.

    References
    ----------
    .. [1] A. Vaswani et al., Attention is all you need, NeurIPS 2017.
    .. [2] R. Xiong et al., On layer normalization in the Transformer architecture, ICML 2020.
    """

    def __init__(self, V_source, V_target, D, *, layers=3, heads=4, F=None, dropout=0.0):
        super().__init__()
        if D % 2 or D % heads:
            raise ValueError(f"expected D even and divisible by heads, got D={D}, heads={heads}")
        self.V = V_target
        self.source = nn.Embedding(V_source, D)
        self.target = nn.Embedding(V_target, D)
        options = dict(dropout=dropout, batch_first=True, norm_first=True)
        sizes = D, heads, 2 * D if F is None else F
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, **options),
            layers,
            norm=nn.LayerNorm(D),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*sizes, **options), layers, norm=nn.LayerNorm(D)
        )
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(D, V_target)
        for weight in (*self.encoder.parameters(), *self.decoder.parameters()):
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        for embedding in (self.source, self.target):
            nn.init.normal_(embedding.weight, std=D**-0.5)
        nn.init.zeros_(self.readout.bias)
        self.readout.weight = self.target.weight

    def start(self, source, lengths):
        """Read the source; arguments as for :meth:`.seq2seq.Seq2Seq.start`.

        Returns
        -------
        state : tuple
            The target's tokens so far, of which there are none.
        memory : tuple
            The encoder's output (B, S, D), and where it is padding, bool (B, S).
        """
        inputs.check_tokens(source, lengths)
        k = torch.arange(source.shape[1], device=source.device)
        padding = k >= lengths.to(source.device)[:, None]  # (B, S)
        memory = self.encoder(self._embed(self.source, source), src_key_padding_mask=padding)
        return (source.new_empty(len(source), 0),), (memory, padding)

    def step(self, tokens, state, memory):
        """Take one token (B,) for each sentence and score the next; logits (B, V) and state.

        The whole beginning is computed again: simple, and quadratic in its length.
        """
        seen = torch.cat([state[0], tokens[:, None]], 1)  # (B, t)
        return self.readout(self._decode(seen, *memory)[:, -1]), (seen,)

    def forward(self, source, lengths, target):
        """Score every token of a given translation: logits (B, T, V), and None."""
        return self.readout(self.outputs(source, lengths, target)[0]), None

    def outputs(self, source, lengths, target, sampling=0.0):
        """Return what :meth:`forward` reads its logits out of, (B, T, D), and None."""
        if sampling:
            raise ValueError("scheduled sampling is for recurrent decoders")
        _, memory = self.start(source, lengths)
        return self._decode(F.pad(target[:, :-1], (1, 0), value=BOS), *memory), None

    def _embed(self, embedding, ids):
        """Embeddings of ids (B, T), scaled as in [1]_, with the positions added: (B, T, D)."""
        D = embedding.embedding_dim
        rate = torch.arange(0, D, 2, device=ids.device) * (-math.log(10_000) / D)
        angle = torch.arange(ids.shape[1], device=ids.device)[:, None] * rate.exp()  # (T, D / 2)
        place = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
        e = embedding(ids) * math.sqrt(D)
        return self.dropout(e + place.to(e.dtype))

    def _decode(self, tokens, memory, padding):
        """From tokens (B, T), BOS first, to outputs (B, T, D)."""
        T = tokens.shape[1]
        later = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)
        return self.decoder(
            self._embed(self.target, tokens),
            memory,
            tgt_mask=later,  # padding stands behind a target, so this hides it too
            memory_key_padding_mask=padding,
        )
