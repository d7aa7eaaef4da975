# Written by `nox -s stubs -- --update`; not to be edited.
"""
kelman's core, compiled for one instruction set.
"""
from __future__ import annotations
import typing
__all__: list[str] = ['LinearStepper', 'StepperBase', 'accelerate', 'attach', 'fma_rate', 'linear_filter', 'linear_gradient', 'linear_moments', 'linear_smooth', 'memory_rate']
class LinearStepper:
    """
    The filter online: one call per time step for N series. Of the problem, the values of z and u are not used, only their shapes; its arrays must not change while the stepper lives.
    """
    def __init__(self, problem: typing.Any) -> None:
        """
        Starts before the first measurement of a problem as linear_filter takes it.
        """
    def state(self) -> dict:
        """
        Where the stepper stands, under the names of linear_filter's end state, with loglik, status and failed_at.
        """
    def step(self, z: typing.Any, u: typing.Any = None, mean: typing.Any = None, loglik: typing.Any = None, measured: typing.Any = None) -> bool:
        """
        Takes z (N, m; NaN = missing) and u (N, p); where `measured` (N) is False, all of z is missing. Writes the filtered means to `mean` (N, n) and the contributions to the log-likelihood to `loglik` (N,), unless None. Tells whether a series got into trouble in this step.
        """
    @property
    def quick_call(self) -> typing.Any:
        """
        What `attach` calls.
        """
    @property
    def steps(self) -> int:
        """
        Number of steps taken.
        """
class StepperBase:
    """
    Room for the handle of a stepper, and the short way to it.
    """
def accelerate(subclass: type) -> None:
    """
    Let calls of the instances of a subclass of StepperBase try the attached handle before their `__call__`.
    """
def attach(stepper: typing.Any, handle: typing.Any, batched: bool) -> None:
    """
    Let the calls of a stepper try this handle (None: only Python); `batched`: its arrays have a series axis.
    """
def fma_rate(seconds: typing.SupportsFloat | typing.SupportsIndex) -> float:
    """
    GFLOP/s of float64 multiply-adds in registers on one thread, with this variant's instructions.
    """
def linear_filter(problem: typing.Any, store: str, threads: typing.SupportsInt | typing.SupportsIndex, out: typing.Any = None, form: str = 'auto', steady: bool = True) -> dict:
    """
    Filter every series of a problem.
    
    `problem` has the attributes z, lengths, A, H, Q, R, B, D, b, c, S, u, u_before, input_lag, start_kind, mean, cov, inf,
    rank, noise_mean, noise_cov, noise_cross and diffuse_constant, all arrays of one dtype (float64 or float32).
    `store` is 'loglik', 'last', 'means', 'filtered' or 'all'; `threads` is at least 1; `out` is None or a dictionary of
    arrays to write to; `form` is 'auto', 'covariance' (the same) or 'univariate' (one series at a time); `steady` lets
    constant gains take over once the covariances of a series have settled. Returns a dictionary of arrays, and under 'method' what ran. Memory is checked, never converted.
    """
def linear_gradient(problem: typing.Any, summed: bool, threads: typing.SupportsInt | typing.SupportsIndex, reference: typing.Any = None) -> dict:
    """
    Log-likelihood and its derivatives by the entries of model and start.
    
    `problem` and `threads` are those of linear_filter; in double precision only. Returns a dictionary: loglik, status and
    failed_at of each series; and the derivatives A, H, Q, R, B, D, b, c, S (those that the model has), mean, cov and inf
    (of the start as it is posed), noise_mean and noise_cov (of the noise before the first measurement, if the start is
    before it). A derivative has the shape (N, ...), or (N, T, ...) if the field varies in time; `summed` adds the series
    up: (1, ...), (1, T, ...), but for the mean. Derivatives by symmetric matrices are symmetric: d loglik = sum_ij G_ij
    dQ_ij. `method` is 'shared' if model, start and gaps are the same in all series, 'grouped' if
    they are in large groups of series; else 'lanes', 'univariate' if the problem has S, a singular R, a dense R with partly
    missing rows, or many states, or 'univariate+lanes' for a diffuse start. With a `reference` (N, n) and complete series in
    'lanes' of up to six states, `moments` (N, n(n+3)) are kept: of all steps but the last, then of the last, the sums of
    x - reference and of P + its square, row by row up to the diagonal, of smoothed states; NaN where that would lose
    digits.
    """
def linear_moments(problem: typing.Any, reference: typing.Any, sets: typing.SupportsInt | typing.SupportsIndex, summed: bool, threads: typing.SupportsInt | typing.SupportsIndex) -> dict:
    """
    Sums over time of smoothed second moments of y = [x - reference; u; 1].
    
    `problem` and `threads` are those of linear_filter; in double precision only. `reference` has the shape (N, n) or
    (1, n). Returns a dictionary: loglik, status and failed_at of each series, and sums (N, sets, q, q), q = n + p + 1, or
    (1, sets, q, q) if `summed`. Set 0: steps that a transition follows, with the input that drives it; 1: steps measured in
    full; 2: steps measured in part; 3 + j: those of set 2 in which component j is measured.
    """
def linear_smooth(problem: typing.Any, lag: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex, form: str = 'auto', filtered: bool = False, steady: bool = True) -> dict:
    """
    Smooth every series of a problem.
    
    `problem`, `threads`, `form` and `steady` are those of linear_filter; `lag` 1 keeps Cov(x_k, x_{k-1} | all) too, 0 does
    not; `filtered` keeps the filtered moments. Returns a dictionary of arrays: mean, cov, lag_one_cov, filtered_mean,
    filtered_cov, loglik, status, failed_at; and under 'method' what ran.
    """
def memory_rate(kind: str, megabytes: typing.SupportsInt | typing.SupportsIndex, seconds: typing.SupportsFloat | typing.SupportsIndex) -> float:
    """
    GB/s of one thread on a block in use: kind is read, write or stream (writing past the caches).
    """
__version__: str
isa: str
