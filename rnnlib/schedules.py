"""Learning-rate schedules: functions of the step that give a factor of the initial rate."""

import math


def constant():
    """Return the schedule that leaves the learning rate as it is."""
    return lambda step: 1.0


def cosine(steps, warmup=0, end=0.0):
    """Return a schedule: a linear rise over the warm-up, then half a cosine down to `end`.

    Parameters
    ----------
    steps : int
        Updates in all, the warm-up included.
    warmup : int
        Updates until the full rate is reached.
    end : float
        The factor at the end.

    Returns
    -------
    callable
        step -> factor of the learning rate.

    References
    ----------
    I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017,
    eq. 5; one descent, no restart.
    """

    def factor(step):
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))

    return factor


def one_cycle(steps, rise=0.3, start=0.04, end=1e-4):
    """Return a schedule: half a cosine up from `start` to 1, and half a cosine down to `end`.

    Parameters
    ----------
    steps : int
        Updates in all.
    rise : float
        The part of them that goes up.
    start, end : float
        The factors at both ends.

    Returns
    -------
    callable
        step -> factor of the learning rate.

    References
    ----------
    L. N. Smith, A disciplined approach to neural network hyper-parameters: part 1, 2018; the
    cosine form is that of ``torch.optim.lr_scheduler.OneCycleLR``. Momentum is left alone.
    """
    top = max(1.0, rise * steps)

    def factor(step):
        if step < top:
            low, done = start, 1 - step / top
        else:
            low, done = end, min(1.0, (step - top) / max(1.0, steps - top))
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done))

    return factor
