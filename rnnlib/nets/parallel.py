r"""Three gated layers whose gates never look at the state: QRNN, SRU and minGRU.

In a GRU the gates of step t need :math:`h_{t-1}`, so the steps must follow one another. Here
all gates come from the input alone. One matrix product gives them for every step at once,
and what is left is linear in the state, so :func:`rnnlib.nets.scan.scan` solves it.

All three take and give what ``nn.GRU(I, H, batch_first=True)`` does: an input (B, T, I), an
output (B, T, H), and a state that starts at zero and can be carried from one window of a
sequence to the next. They are faster than a GRU on long sequences, and can do less: see the
chapter on speed for the first, and the chapter on parallel recurrences for the second.
"""

import torch
from torch import nn

from rnnlib.nets.inputs import check_batch
from rnnlib.nets.scan import scan


class MinGRU(nn.Module):
    r"""A GRU without a reset gate and without recurrent weights.

    .. math::

        z_t &= \sigma(W_z x_t + b_z) \\
        \tilde{h}_t &= W_h x_t + b_h \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde{h}_t

    These are the unnumbered equations of minGRU in section 3.1 of [1]_. For training in half
    precision the paper moves the recurrence to the logarithms of positive states, with
    another function in the place of the identity for :math:`\tilde{h}_t`. That is not done
    here: :func:`rnnlib.nets.scan.scan` sums in float32 and needs no logarithms.

    Parameters
    ----------
    I, H : int
        Width of the input and of the state.

    Attributes
    ----------
    project : nn.Linear
        The weights of z and of the candidate, stacked: weight (2H, I) and bias (2H,).

    References
    ----------
    .. [1] L. Feng et al., Were RNNs all we needed?, arXiv 2410.01201, 2024.
    """

    def __init__(self, I, H):
        super().__init__()
        self.project = nn.Linear(I, 2 * H)

    def forward(self, x, state=None):
        """Run the layer over a batch of sequences.

        Parameters
        ----------
        x : torch.Tensor
            (B, T, I), at least one step.
        state : torch.Tensor, optional
            What an earlier call returned, (1, B, H); zero if it is not given.

        Returns
        -------
        output : torch.Tensor
            The states of every step, (B, T, H).
        state : torch.Tensor
            The last of them, (1, B, H).

        Raises
        ------
        ValueError, TypeError
            If a shape or a dtype does not fit.
        """
        _check(x, self.project.in_features, state, self.project.out_features // 2)
        z, candidate = self.project(x).chunk(2, dim=-1)  # (B, T, H) each
        z = z.sigmoid()
        h = scan(1 - z, z * candidate, None if state is None else state[0])
        return h, h[None, :, -1]


class QRNN(nn.Module):
    r"""A quasi-recurrent layer: gates from a window of inputs, then "fo-pooling".

    .. math::

        z_t &= \tanh(W_z\, [x_{t-k+1}, \dots, x_t] + b_z) \\
        f_t &= \sigma(W_f\, [x_{t-k+1}, \dots, x_t] + b_f) \\
        o_t &= \sigma(W_o\, [x_{t-k+1}, \dots, x_t] + b_o) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot z_t \\
        h_t &= o_t \odot c_t

    Equations (1), with biases, and (4) of [1]_. The window ends at the present step, which
    is what the paper's masked convolution of width k comes to.

    Parameters
    ----------
    I, H : int
        Width of the input and of the state.
    window : int
        k, how many inputs the gates see.

    Attributes
    ----------
    project : nn.Linear
        The weights of z, f and o, stacked: weight (3H, window * I), in which the columns of
        the oldest input come first, and bias (3H,).

    References
    ----------
    .. [1] J. Bradbury, S. Merity, C. Xiong, R. Socher, Quasi-recurrent neural networks,
       ICLR 2017, arXiv 1611.01576, 2016.
    """

    def __init__(self, I, H, window=2):
        super().__init__()
        if window < 1:
            raise ValueError(f"expected a window of at least one input, got {window}")
        self.window = window
        self.project = nn.Linear(window * I, 3 * H)

    def forward(self, x, state=None):
        """Run the layer over a batch of sequences.

        Parameters
        ----------
        x : torch.Tensor
            (B, T, I), at least one step.
        state : (torch.Tensor, torch.Tensor), optional
            What an earlier call returned; zeros if it is not given.

        Returns
        -------
        output : torch.Tensor
            The h of every step, (B, T, H).
        state : (torch.Tensor, torch.Tensor)
            The last c, (1, B, H), and the last inputs, (window - 1, B, I).

        Raises
        ------
        ValueError, TypeError
            If a shape or a dtype does not fit.
        """
        I, k = self.project.in_features // self.window, self.window
        c_0, recent = (None, None) if state is None else state
        _check(x, I, c_0, self.project.out_features // 3)
        B, T = x.shape[:2]
        if recent is None:
            recent = x.new_zeros(k - 1, B, I)
        elif recent.shape != (k - 1, B, I):
            raise ValueError(
                f"expected the last inputs of shape (window - 1, B, I) = {(k - 1, B, I)}, "
                f"got {tuple(recent.shape)}"
            )
        x = torch.cat([recent.transpose(0, 1), x], dim=1)  # (B, k-1+T, I)
        windows = torch.cat([x[:, j : j + T] for j in range(k)], dim=2)  # (B, T, k*I)
        z, f, o = self.project(windows).chunk(3, dim=-1)
        f = f.sigmoid()
        c = scan(f, (1 - f) * z.tanh(), None if c_0 is None else c_0[0])
        return o.sigmoid() * c, (c[None, :, -1], x[:, T:].transpose(0, 1))


class SRU(nn.Module):
    r"""A simple recurrent unit whose gates are blind to the state.

    .. math::

        f_t &= \sigma(W_f x_t + b_f) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot (W x_t) \\
        r_t &= \sigma(W_r x_t + b_r) \\
        h_t &= r_t \odot c_t + (1 - r_t) \odot x_t

    Equations (1) to (4) of [1]_ without two of their terms. The paper as published adds
    :math:`v_f \odot c_{t-1}` and :math:`v_r \odot c_{t-1}` within the gates; the first makes
    the recurrence nonlinear in c, and no scan can solve it. The first version of the same
    paper (arXiv 1709.02755v1, *Training RNNs as fast as CNNs*) had neither term, and is what
    this is, with the identity for its function g. Where the input is not as wide as the
    state, a fourth matrix brings :math:`x_t` to the width H in the last line.

    Parameters
    ----------
    I, H : int
        Width of the input and of the state.

    Attributes
    ----------
    project : nn.Linear
        W, W_f and W_r, stacked: weight (3H, I); (4H, I) if I is not H, the rows for the
        last line at the end. No bias.
    bias : nn.Parameter
        b_f and b_r, (2H,).

    References
    ----------
    .. [1] T. Lei, Y. Zhang, S. I. Wang, H. Dai, Y. Artzi, Simple recurrent units for highly
       parallelizable recurrence, EMNLP 2018.
    """

    def __init__(self, I, H):
        super().__init__()
        self.project = nn.Linear(I, (3 if I == H else 4) * H, bias=False)
        self.bias = nn.Parameter(torch.zeros(2 * H))

    def forward(self, x, state=None):
        """Run the layer over a batch of sequences.

        Parameters
        ----------
        x : torch.Tensor
            (B, T, I), at least one step.
        state : torch.Tensor, optional
            What an earlier call returned, (1, B, H); zero if it is not given.

        Returns
        -------
        output : torch.Tensor
            The h of every step, (B, T, H).
        state : torch.Tensor
            The last c, (1, B, H).

        Raises
        ------
        ValueError, TypeError
            If a shape or a dtype does not fit.
        """
        H = len(self.bias) // 2
        _check(x, self.project.in_features, state, H)
        candidate, f, r, *skip = self.project(x).split(H, dim=-1)  # (B, T, H) each
        skip = skip[0] if skip else x.to(candidate.dtype)  # the same, but under autocast
        b_f, b_r = self.bias.to(candidate.dtype).chunk(2)
        f, r = (f + b_f).sigmoid(), (r + b_r).sigmoid()
        c = scan(f, (1 - f) * candidate, None if state is None else state[0])
        return r * c + (1 - r) * skip, c[None, :, -1]


def _check(x, I, state, H):
    check_batch(x, I)
    if state is not None and state.shape != (1, x.shape[0], H):
        raise ValueError(
            f"expected a state of shape (1, B, H) = {(1, x.shape[0], H)}, got {tuple(state.shape)}"
        )
