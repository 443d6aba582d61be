"""Counts in, e-values out: how much speaks against a hypothesis, valid whenever and however often somebody looks.

A bet on outcomes with payoffs v, of which the hypothesis says that their mean is at most 0, multiplies the capital by
1 + s v; while the hypothesis holds, the capital exceeds 1/a at any time with probability a at most (Ville 1939). The
mixture over a grid of stakes s needs no tuning and depends on the counts alone, so that workers, partitions and commits
may come in any order: Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, JRSS B 86,
section 4; Ramdas, Gruenwald, Vovk and Shafer 2023, Game-theoretic statistics and safe anytime-valid inference.
"""

from collections.abc import Sequence

import numpy as np

from schemas.comparison import TAIL, Pairs

# Shares of the stake at which one bad outcome would cost everything: the small ones find what is little and lasts, the
# others what is plain, in few rows.
STAKES = np.concatenate((np.geomspace(0.01, 0.1, 4), np.linspace(0.2, 0.9, 8)))


def log_e(payoffs: Sequence[float] | np.ndarray, counts: Sequence[float] | np.ndarray, worst: float) -> float:
    """Log of the e-value against "the payoffs' mean is at most 0".

    Args:
        payoffs: Float [k], what each kind of outcome pays; none is below `-worst`.
        counts: How often each was seen, [k].
        worst: The largest loss that the hypothesis allows, > 0.
    """
    growth = np.log1p(np.outer(STAKES / worst, np.asarray(payoffs, dtype=np.float64)))
    return _log_mean(growth @ np.asarray(counts, dtype=np.float64))


def average(logs: Sequence[float]) -> float:
    """Log of the mean of some e-values: an e-value against "none of the hypotheses fails"."""
    return _log_mean(np.array(logs, dtype=np.float64))


def more(pairs: Pairs, factor: float) -> tuple[float, float]:
    """Logs of two e-values: that the candidate picks out more than `factor` times as many rows; that it does not.

    The hypotheses are: on average at most `factor` times as many; on average at least so many.
    """
    counts = (pairs.both, pairs.only_candidate, pairs.only_champion)
    payoffs = np.array([1.0 - factor, 1.0, -factor])
    return log_e(payoffs, counts, factor), log_e(-payoffs, counts, max(1.0, 1.0 - factor))


def fewer(pairs: Pairs, factor: float) -> tuple[float, float]:
    """The same with the roles changed: that the champion picks out more than `factor` times as many; that not."""
    return more(Pairs(pairs.both, pairs.only_candidate, pairs.only_champion), factor)


def disagree(pairs: Pairs, share: float) -> tuple[float, float]:
    """Logs of two e-values: that of the rows picked out by either, more than `share` are so by one; that not."""
    counts = (pairs.only_champion + pairs.only_candidate, pairs.both)
    payoffs = np.array([1.0 - share, -share])
    return log_e(payoffs, counts, share), log_e(-payoffs, counts, 1.0 - share)


def apart(histogram: Sequence[int], step: float, share: float) -> float:
    """Log of the e-value that more than `share` of the log ratios are beyond `step`, on one side.

    A sign test of paired values, as McNemar's is: how far beyond does not count, so that a few rows suffice.
    """
    counts, centres = np.array(histogram), np.array(TAIL)
    beyond = (int(counts[side * centres > step].sum()) for side in (1, -1))
    total = int(counts.sum())
    return average([log_e((1.0 - share, -share), (count, total - count), share) for count in beyond])


def _log_mean(logs: np.ndarray) -> float:
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).mean()))
