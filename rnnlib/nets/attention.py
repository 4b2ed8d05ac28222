"""Attention over a memory: where to look, and what is seen there."""

import torch
from torch import nn


class Attention(nn.Module):
    r"""Where in the memory to look, given the decoder's state.

    The score is :math:`v^\top \tanh(W_s s_t + W_m m_k + b)` if additive [1]_,
    :math:`s_t^\top W_m m_k` if multiplicative, which the second paper calls general [2]_, and
    that divided by :math:`\sqrt H` if scaled [3]_.

    Parameters
    ----------
    kind : {"additive", "multiplicative", "scaled"}
        Which score.
    H, M : int
        Width of the state and of the memory.

    References
    ----------
    .. [1] D. Bahdanau, K. Cho, Y. Bengio, Neural machine translation by jointly learning to
       align and translate, ICLR 2015, section A.1.2.
    .. [2] M.-T. Luong, H. Pham, C. D. Manning, Effective approaches to attention-based neural
       machine translation, EMNLP 2015, section 3.1.
    .. [3] A. Vaswani et al., Attention is all you need, NeurIPS 2017, section 3.2.1.
    """

    def __init__(self, kind, H, M):
        super().__init__()
        self.query = self.score = None
        self.scale = H**-0.5 if kind == "scaled" else 1.0
        self.keys = nn.Linear(M, H, bias=kind == "additive")
        nn.init.xavier_uniform_(self.keys.weight)
        if kind == "additive":
            self.query = nn.Linear(H, H, bias=False)
            self.score = nn.Linear(H, 1, bias=False)
            nn.init.xavier_uniform_(self.query.weight)

    def forward(self, s, keys, values, mask):
        """Return the context (B, T, M) and the weights (B, T, S), which sum to 1 over S.

        Parameters
        ----------
        s : torch.Tensor
            States, (B, T, H).
        keys, values : torch.Tensor
            ``self.keys(memory)``, (B, S, H), and the memory itself, (B, S, M).
        mask : torch.Tensor
            bool, (B, S), True where there is a token.
        """
        if self.query is not None:
            pairs = torch.tanh(self.query(s)[:, :, None] + keys[:, None])  # (B, T, S, H)
            scores = self.score(pairs)[..., 0]
        else:
            scores = self.scale * s @ keys.transpose(1, 2)  # (B, T, S)
        exact = torch.promote_types(scores.dtype, torch.float32)
        weights = scores.to(exact).masked_fill(~mask[:, None], -torch.inf).softmax(-1)
        return weights.to(values.dtype) @ values, weights
