# Written by `nox -s stubs -- --update`; not to be edited.
"""
kelman's recurrent networks, compiled for one instruction set.
"""

from __future__ import annotations
import typing

__all__: list[str] = [
    "NetworkStepper",
    "activations",
    "cells",
    "elementwise",
    "elman_forward",
    "elman_gauss_newton",
    "elman_gauss_newton_each",
    "elman_jacobian",
    "elman_jvp",
    "elman_loss_and_grad",
    "elman_vjp",
    "gru_forward",
    "gru_gauss_newton",
    "gru_gauss_newton_each",
    "gru_jacobian",
    "gru_jvp",
    "gru_loss_and_grad",
    "gru_vjp",
    "lstm_forward",
    "lstm_gauss_newton",
    "lstm_gauss_newton_each",
    "lstm_jacobian",
    "lstm_jvp",
    "lstm_loss_and_grad",
    "lstm_vjp",
]

class NetworkStepper:
    """
    A network online: one step of N series at a time. Its weights must not change while it lives.
    """
    def __init__(
        self, kind: str, weights: dict, options: dict, output: typing.Any, h0: typing.Any, c0: typing.Any = None
    ) -> None:
        """
        Starts at h0 (N, h), and c0 (N, h) of an LSTM; the other arguments are those of the cell's forward.
        """
    def feed(self, next: NetworkStepper) -> None:
        """
        From now on steps go on to another, whose inputs are the outputs of this one; y is what the last gives.
        """
    def restart(self, h0: typing.Any, c0: typing.Any = None) -> None:
        """
        Begins again at h0 (and c0).
        """
    def state(self) -> dict:
        """
        The states h (N, h), and c (N, h) of an LSTM.
        """
    def step(self, x: typing.Any, y: typing.Any = None) -> int:
        """
        Takes x (N, i) and writes the outputs to y (N, o) unless None. 0; 1 where x is not finite, and nothing was done; 2 where a state is not finite.
        """
    @property
    def quick_call(self) -> typing.Any:
        """
        What `attach` calls.
        """
    @property
    def steps(self) -> int:
        """
        Number of steps taken without an error.
        """
    @steps.setter
    def steps(self, arg1: typing.SupportsInt | typing.SupportsIndex) -> None: ...

def elementwise(function: str, x: typing.Any) -> typing.Any:
    """
    exp, tanh, sigmoid, softplus or one_minus_exp_of_negative (of numbers >= 0) of a vector, as the networks use them.
    """

def elman_forward(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
    states: bool = True,
    out: typing.Any = None,
) -> typing.Any:
    """
    Outputs y (N,T,o) (None without a readout), states h (N,T,h) (and c of an LSTM), status (N,) and failed_at (N,), the first step at which a number, of x too, is not finite. Without `states` only y, or h where there is no readout. `out`: a dict with arrays y, h, c to write to.
    """

def elman_gauss_newton(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, J'WJ and J'We over the weight; parameters: the cell's weights, V, c (, D) (, h0 (, c0)).
    """

def elman_gauss_newton_each(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    For multiple shooting: the sums loss, JtJ (P,P) and Jtr (P) over the weights, and of each series start (N,s,P+s) = J_start'W [J, J_start], right (N,s) = J_start'We, end (N,s), the last state, and end_dot (N,s,P+s), its derivatives; s counts h (and c).
    """

def elman_jacobian(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Derivatives of the outputs (of h without a readout) by the parameters of _gauss_newton, (N,T,o,P); zero past a series' end.
    """

def elman_jvp(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    tangents: dict,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Directional derivatives of y, h (and c) along tangents of weights, h0, c0 and x.
    """

def elman_loss_and_grad(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, and the gradients by name; those of h0 (and c0) per series (N,h).
    """

def elman_vjp(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    g_y: typing.Any,
    g_h: typing.Any,
    g_c: typing.Any,
    want_x: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Gradients of sum(g_y y) + sum(g_h h) + sum(g_c c_last) by name; of h0 (, c0) per series, and of x if wanted.
    """

def gru_forward(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
    states: bool = True,
    out: typing.Any = None,
) -> typing.Any:
    """
    Outputs y (N,T,o) (None without a readout), states h (N,T,h) (and c of an LSTM), status (N,) and failed_at (N,), the first step at which a number, of x too, is not finite. Without `states` only y, or h where there is no readout. `out`: a dict with arrays y, h, c to write to.
    """

def gru_gauss_newton(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, J'WJ and J'We over the weight; parameters: the cell's weights, V, c (, D) (, h0 (, c0)).
    """

def gru_gauss_newton_each(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    For multiple shooting: the sums loss, JtJ (P,P) and Jtr (P) over the weights, and of each series start (N,s,P+s) = J_start'W [J, J_start], right (N,s) = J_start'We, end (N,s), the last state, and end_dot (N,s,P+s), its derivatives; s counts h (and c).
    """

def gru_jacobian(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Derivatives of the outputs (of h without a readout) by the parameters of _gauss_newton, (N,T,o,P); zero past a series' end.
    """

def gru_jvp(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    tangents: dict,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Directional derivatives of y, h (and c) along tangents of weights, h0, c0 and x.
    """

def gru_loss_and_grad(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, and the gradients by name; those of h0 (and c0) per series (N,h).
    """

def gru_vjp(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    g_y: typing.Any,
    g_h: typing.Any,
    g_c: typing.Any,
    want_x: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Gradients of sum(g_y y) + sum(g_h h) + sum(g_c c_last) by name; of h0 (, c0) per series, and of x if wanted.
    """

def lstm_forward(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
    states: bool = True,
    out: typing.Any = None,
) -> typing.Any:
    """
    Outputs y (N,T,o) (None without a readout), states h (N,T,h) (and c of an LSTM), status (N,) and failed_at (N,), the first step at which a number, of x too, is not finite. Without `states` only y, or h where there is no readout. `out`: a dict with arrays y, h, c to write to.
    """

def lstm_gauss_newton(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, J'WJ and J'We over the weight; parameters: the cell's weights, V, c (, D) (, h0 (, c0)).
    """

def lstm_gauss_newton_each(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    For multiple shooting: the sums loss, JtJ (P,P) and Jtr (P) over the weights, and of each series start (N,s,P+s) = J_start'W [J, J_start], right (N,s) = J_start'We, end (N,s), the last state, and end_dot (N,s,P+s), its derivatives; s counts h (and c).
    """

def lstm_jacobian(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Derivatives of the outputs (of h without a readout) by the parameters of _gauss_newton, (N,T,o,P); zero past a series' end.
    """

def lstm_jvp(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    tangents: dict,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Directional derivatives of y, h (and c) along tangents of weights, h0, c0 and x.
    """

def lstm_loss_and_grad(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, and the gradients by name; those of h0 (and c0) per series (N,h).
    """

def lstm_vjp(
    weights: dict,
    options: dict,
    output: typing.Any,
    h0: typing.Any,
    c0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    g_y: typing.Any,
    g_h: typing.Any,
    g_c: typing.Any,
    want_x: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Gradients of sum(g_y y) + sum(g_h h) + sum(g_c c_last) by name; of h0 (, c0) per series, and of x if wanted.
    """

__version__: str
activations: tuple = ("identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus")
cells: tuple = ("elman", "gru", "lstm")
isa: str
