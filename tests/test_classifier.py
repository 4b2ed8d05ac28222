"""The sequence classifier: right whatever the padding, the order and the company."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from rnnlib.data.batches import Padded
from rnnlib.nets import classifier
from rnnlib.nets.classifier import POOLS, SequenceClassifier

SETTINGS = {
    "cell": st.sampled_from(["lstm", "gru", "rnn"]),
    "layers": st.integers(1, 3),
    "bidirectional": st.booleans(),
    "pool": st.sampled_from(POOLS),
}


def build(seed=0, I=3, H=4, classes=5, **options):
    torch.manual_seed(seed)
    net = SequenceClassifier(I, H, classes, **options).double().eval()
    nn.init.normal_(net.readout.bias)
    return net


def draw(lengths, I=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, I, generator=generator, dtype=torch.float64) for n in lengths]


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(SETTINGS),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(0, 4),
    st.sampled_from([0.0, 1e3]),
    st.integers(0, 99),
)
def test_padding_order_and_company_change_nothing(options, lengths, extra, filling, seed):
    net, alone = build(seed, **options), draw(lengths, seed=seed)
    expected = torch.cat([net(x[None]) for x in alone])
    x = pad_sequence(alone, batch_first=True, padding_value=filling)
    x = F.pad(x, (0, 0, 0, extra), value=filling)
    torch.testing.assert_close(net(x, torch.tensor(lengths)), expected, rtol=0, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.fixed_dictionaries(SETTINGS), st.lists(st.integers(1, 7), min_size=2, max_size=4))
def test_no_gradient_flows_into_the_padding_and_all_into_the_rest(options, lengths):
    net = build(**options)
    x = pad_sequence(draw(lengths), batch_first=True).requires_grad_()
    weights = torch.linspace(-1, 1, 5, dtype=torch.float64)
    (net(x, torch.tensor(lengths)) @ weights).sum().backward()
    for gradient, n in zip(x.grad, lengths):
        assert not gradient[n:].any()
        if options["pool"] != "max":
            assert gradient[:n].any(dim=1).all()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_last_state_is_torchs_own(cell, bidirectional):
    net = build(cell=cell, bidirectional=bidirectional, layers=2)
    x = draw([6])[0][None]
    h = net.rnn(x)[1]
    h = h[0] if cell == "lstm" else h
    top = torch.cat([h[-2], h[-1]], 1) if bidirectional else h[-1]
    torch.testing.assert_close(net(x), net.readout(top))


def test_the_pools():
    x = draw([5])[0][None]
    for pool, reduce in (("mean", lambda h: h.mean(1)), ("max", lambda h: h.amax(1))):
        net = build(pool=pool)
        torch.testing.assert_close(net(x), net.readout(reduce(net.rnn(x)[0])))


def test_dropout_acts_in_training_alone_and_before_the_read_out_too():
    net, x = build(H=40, dropout=0.5), draw([5])[0][None]
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))
    assert net.rnn.dropout == 0  # torch would warn: there is nothing between one layer


def test_it_starts_as_the_book_does():
    net = build(H=6)
    W = net.rnn.weight_hh_l0.detach()[:6]
    torch.testing.assert_close(W @ W.T, torch.eye(6).double(), rtol=0, atol=1e-5)
    assert net.rnn.bias_ih_l0[6:12].tolist() == [1] * 6


def test_the_loss_is_mean_cross_entropy_and_trains():
    torch.manual_seed(0)
    sequences = [torch.randn(n, 3) + k for k in (0, 3) for n in (3, 5, 4, 7)]
    padded = Padded(sequences, [0] * 4 + [1] * 4, 8)
    net = SequenceClassifier(3, 4, 2, bidirectional=True)
    x, lengths, labels = padded(0)
    value, state = classifier.loss(net, (x, lengths, labels), None)
    chosen = net(x, lengths).log_softmax(1)[torch.arange(8), labels]
    torch.testing.assert_close(value, -chosen.mean())
    assert state is None
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for step in range(30):
        optimizer.zero_grad()
        classifier.loss(net, padded(step), None)[0].backward()
        optimizer.step()
    assert classifier.loss(net, padded(0), None)[0] < 0.1 < value


@pytest.mark.parametrize(
    ("options", "message"), [({"cell": "LSTM"}, "lstm, got 'LSTM'"), ({"pool": "sum"}, "got 'sum'")]
)
def test_unknown_settings(options, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(3, 4, 5, **options)


def test_bad_input_is_named():
    net, x = build(), torch.zeros(4, 6, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="the 3 features stand in axis 1"):
        net(x.transpose(1, 2))
    with pytest.raises(ValueError, match="time-major"):
        net(x.transpose(0, 1), torch.tensor([6, 6, 2, 1]))
    with pytest.raises(ValueError, match="leave empty sequences out"):
        net(x, torch.tensor([6, 0, 2, 1]))
