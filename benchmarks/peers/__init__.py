"""Other implementations of the same problems; their answers are checked before anything is timed.

One file for each. It says NAME (of its package, as `pip` knows it, or what it is), LOOPS (it takes series one after
another, so that a part of them tells the time of each) and GAPS (the kinds of missing values that it is said to handle),
and has a function for each task that it can do: ``task(problem) -> run, answer``. ``run()`` does the whole work on whatever
the package likes best (compiled, converted and on its device before), and returns when it is done; ``answer(result, few)``
gives the arrays of the first few series. Tasks: `filter` (means and covariances), `loglik`, `smooth`, `both` (filter and
smoother), `gradient` (log-likelihood and its derivatives by every entry of A, H, Q, R, m0, P0), `stream` (one call for each
step). Of networks: `net_forward` (outputs), `net_gradient` (mean squared error and its gradient), `net_stream`,
`net_train` (epochs of Adam).
"""

from __future__ import annotations

PEERS = (
    "numpy_loop",
    "hand_jax",
    "dynamax",
    "kalman_py",
    "cuthbert",
    "torch_kf",
    "simdkalman",
    "fast_kalman",
    "statsmodels",
    "filterpy",
    "pykalman",
    "torch_nn",
    "jax_scan",
    "numpy_net",
)
"""A file of this folder each. A new peer is a row here, a file, and a line of requirements.txt."""


class NotOffered(Exception):
    """A problem of a task that a peer can do otherwise: it is left out, which is no failure."""
