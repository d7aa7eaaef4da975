# Written by `nox -s stubs -- --update`; not to be edited.
"""
kelman's recurrent networks, compiled for one instruction set.
"""

from __future__ import annotations
import typing

__all__: list[str] = [
    "activations",
    "elman_forward",
    "elman_gauss_newton",
    "elman_loss_and_grad",
]

def elman_forward(
    weights: dict,
    hidden: str,
    output: str,
    h0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Outputs (N,T,o), states (N,T,h), status (N,) and the first non-finite step (N,).
    """

def elman_gauss_newton(
    weights: dict,
    hidden: str,
    output: str,
    h0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    learn_h0: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, J'WJ and J'We over the weight; parameters U, W, b, V, c (, D) (, h0).
    """

def elman_loss_and_grad(
    weights: dict,
    hidden: str,
    output: str,
    h0: typing.Any,
    x: typing.Any,
    lengths: typing.Any,
    y: typing.Any,
    mask: typing.Any,
    warmup: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> typing.Any:
    """
    Mean squared error, total weight, and the gradients by name; that of h0 per series (N,h).
    """

__version__: str
activations: tuple = ("identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus")
isa: str
