r"""From one sequence to another of another length: encoder, attention, decoder.

.. math::

    s_t &= \mathrm{GRU}(e_t, s_{t-1}) &\quad\text{or } \mathrm{GRU}([e_t; o_{t-1}], s_{t-1}) \\
    \alpha_{t,k} &\propto \exp \mathrm{score}(s_t, m_k), \qquad c_t = \sum_k \alpha_{t,k} m_k \\
    o_t &= \tanh(W_c [s_t; c_t] + b_c), \qquad p_t = \mathrm{softmax}(W_y o_t + b_y)

The memory m_k holds the encoder's two states at source token k, e_t is the embedding of the
target token before. The order is Luong's: first the state, then the attention, whichever the
score. So kinds of attention differ in one line, and as long as nothing is fed back the whole
target is computed at once.
"""

import torch
from torch import nn
from torch.nn import functional as F

from rnnlib.data.vocabulary import BOS, PAD
from rnnlib.nets import init, inputs
from rnnlib.nets.attention import Attention
from rnnlib.nets.readout import linear_cross_entropy

ATTENTIONS = ("none", "additive", "multiplicative", "scaled")


class Locked(nn.Dropout):
    """Dropout with one mask for all steps of a sequence.

    References
    ----------
    Y. Gal, Z. Ghahramani, A theoretically grounded application of dropout in recurrent neural
    networks, NeurIPS 2016.
    """

    def forward(self, x):
        """Drop features of x, (B, T, E), in training."""
        if not self.training or not self.p:
            return x
        return x * super().forward(x.new_ones(len(x), 1, x.shape[2]))


class Seq2Seq(nn.Module):
    """A bidirectional encoder, and a decoder that may look back at all of its states.

    Parameters
    ----------
    V_source, V_target : int
        Sizes of the vocabularies; ids as in :mod:`rnnlib.data.vocabulary`.
    H : int
        Width of the state, of each direction of the encoder and of the decoder.
    E : int, optional
        Width of the embeddings and of the vector before the read-out; H if not given.
    attention : {"additive", "multiplicative", "scaled", "none"}
        The kind of score; with "none" the context is the same at each step: the encoder's
        two last states, as in [1]_.
    cell : {"gru", "lstm", "rnn"}
        Which recurrence.
    dropout : float
        Applied to the embeddings, the memory, and before the read-out.
    tied : bool
        The read-out uses the target embedding's matrix.
    feed : bool
        Feed o_{t-1} to the decoder beside the token, so that it knows where it has looked
        (input feeding, Luong et al., section 3.3). Steps must then wait for each other.

    References
    ----------
    .. [1] K. Cho et al., Learning phrase representations using RNN encoder-decoder for
       statistical machine translation, EMNLP 2014.
    """

    def __init__(
        self,
        V_source,
        V_target,
        H,
        *,
        E=None,
        attention="additive",
        cell="gru",
        dropout=0.0,
        tied=True,
        feed=False,
    ):
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"expected attention among {ATTENTIONS}, got {attention!r}")
        E = H if E is None else E
        self.V, self.feed = V_target, feed
        self.source = nn.Embedding(V_source, E)
        self.target = nn.Embedding(V_target, E)
        self.dropout = Locked(dropout)
        self.forwards, self.backwards = init.layers(cell, E, H), init.layers(cell, E, H)
        self.decoder = init.layers(cell, E + E if feed else E, H)
        self.bridge = nn.Linear(2 * H, 2 * H if cell == "lstm" else H)
        self.attention = None if attention == "none" else Attention(attention, H, 2 * H)
        self.combine = nn.Linear(H + 2 * H, E)
        self.readout = nn.Linear(E, V_target)
        for rnn in (self.forwards, self.backwards, self.decoder):
            init.recurrent_(rnn)
        for embedding in (self.source, self.target):
            nn.init.normal_(embedding.weight, std=E**-0.5)
        nn.init.zeros_(self.readout.bias)
        if tied:
            self.readout.weight = self.target.weight

    def start(self, source, lengths):
        """Read the source.

        Parameters
        ----------
        source : torch.Tensor
            int64, (B, S), padded behind each sentence with any valid id.
        lengths : torch.Tensor
            int64, (B,), on the CPU, each at least 1, as EOS counts.

        Returns
        -------
        state : tuple
            What :meth:`step` begins with; every tensor has B rows.
        memory : tuple
            What :meth:`step` looks at; every tensor has B rows.
        """
        inputs.check_tokens(source, lengths)
        e = self.dropout(self.source(source))  # (B, S, E)
        n = lengths.to(source.device)[:, None]
        k = torch.arange(source.shape[1], device=source.device)
        mask = k < n  # (B, S)
        flip = torch.where(mask, n - 1 - k, k)[..., None]  # its own inverse
        there, _ = self.forwards(e)
        back, _ = self.backwards(e.gather(1, flip.expand_as(e)))
        last = (n - 1)[..., None].expand(-1, 1, there.shape[2])
        summary = torch.cat([there.gather(1, last), back.gather(1, last)], 2)  # (B, 1, 2H)
        memory = torch.cat([there, back.gather(1, flip.expand_as(back))], 2)  # (B, S, 2H)
        hidden = torch.tanh(self.bridge(summary[:, 0])).split(self.decoder.hidden_size, 1)
        fed = e.new_zeros(len(e), self.readout.in_features)
        if self.attention is None:
            return (hidden, fed), (self.dropout(summary),)
        memory = self.dropout(memory)
        return (hidden, fed), (self.attention.keys(memory), memory, mask)

    def step(self, tokens, state, memory):
        """Take one token for each sentence, and score the next, without dropout.

        Parameters
        ----------
        tokens : torch.Tensor
            int64, (B,): BOS at first.
        state, memory : tuple
            As from :meth:`start`; the state as from the last step.

        Returns
        -------
        logits : torch.Tensor
            (B, V_target).
        state : tuple
            After this token.
        """
        o, state, _ = self._advance(tokens[:, None], state, memory)
        return self.readout(o)[:, 0], state

    def forward(self, source, lengths, target, sampling=0.0):
        """Score every token of a given translation.

        Parameters
        ----------
        source, lengths : torch.Tensor
            As for :meth:`start`.
        target : torch.Tensor
            int64, (B, T), with EOS, padded; BOS is put before it here.
        sampling : float
            With this probability the decoder is shown its own likeliest token in place of
            the given one (scheduled sampling, Bengio et al., 2015); 0 is teacher forcing.

        Returns
        -------
        logits : torch.Tensor
            (B, T, V_target).
        weights : torch.Tensor or None
            The attention, (B, T, S); None without.
        """
        o, weights = self.outputs(source, lengths, target, sampling)
        return self.readout(o), weights

    def outputs(self, source, lengths, target, sampling=0.0):
        """Return what :meth:`forward` reads its logits out of, (B, T, E), and the weights."""
        state, memory = self.start(source, lengths)
        tokens = F.pad(target[:, :-1], (1, 0), value=BOS)  # (B, T)
        keep = self.dropout(torch.ones_like(state[1])[:, None])  # (B, 1, E), for all steps
        if not self.feed and not sampling:
            o, _, weights = self._advance(tokens, state, memory, keep)
            return self.dropout(o), weights
        outputs, looks, given = [], [], tokens[:, :1]
        for t in range(tokens.shape[1]):
            o, state, weights = self._advance(given, state, memory, keep)
            outputs.append(o)
            looks.append(weights)
            given = tokens[:, t + 1 : t + 2]
            if sampling and given.shape[1]:
                own = self.readout(o.detach()).argmax(-1)
                given = torch.where(torch.rand(own.shape, device=own.device) < sampling, own, given)
        weights = None if self.attention is None else torch.cat(looks, 1)
        return self.dropout(torch.cat(outputs, 1)), weights

    def _advance(self, tokens, state, memory, keep=1.0):
        """From tokens (B, T) to o (B, T, E), the state after them, and the weights."""
        hidden, fed = state
        x = self.target(tokens) * keep
        if self.feed:
            x = torch.cat([x, fed[:, None].to(x.dtype)], 2)
        hidden = tuple(part[None].to(x.dtype).contiguous() for part in hidden)  # (1, B, H)
        s, hidden = self.decoder(x, hidden if len(hidden) > 1 else hidden[0])
        hidden = hidden if isinstance(hidden, tuple) else (hidden,)
        if self.attention is None:
            context, weights = memory[0].expand(-1, s.shape[1], -1), None
        else:
            context, weights = self.attention(s, *memory)
        o = torch.tanh(self.combine(torch.cat([s, context.to(s.dtype)], 2)))
        return o, (tuple(part[0] for part in hidden), o[:, -1]), weights


def loss(net, batch, state=None, *, smoothing=0.0, sampling=0.0):
    """Mean cross-entropy of the target tokens, in nats, in the form that ``train.fit`` wants.

    Parameters
    ----------
    net : Seq2Seq
        Or any net with the same ``outputs`` and ``readout``.
    batch : (source, lengths, target)
        As from :class:`~rnnlib.data.batches.PaddedPairs`; PAD in the target does not count.
    state : None
        Not used: each sentence starts anew.
    smoothing : float
        Of the labels: this part of the probability is spread over the vocabulary.
    sampling : float
        As for :meth:`Seq2Seq.forward`.

    Returns
    -------
    loss : torch.Tensor
        0-dimensional.
    state : None
    """
    source, lengths, target = batch
    o, _ = net.outputs(source, lengths, target, sampling)
    W, b = net.readout.weight, net.readout.bias
    o, target = o.flatten(0, 1), target.flatten()
    return linear_cross_entropy(o, W, b, target, smoothing, ignore=PAD), None
