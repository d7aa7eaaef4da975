# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks over sequences: forward, gradients, Gauss-Newton normal equations."""

from ._forward import ForwardResult as ForwardResult, forward as forward
from ._gauss_newton import GaussNewton as GaussNewton, gauss_newton as gauss_newton
from ._gradient import ElmanGradient as ElmanGradient, loss_and_grad as loss_and_grad
from ._parameters import pack as pack, unpack as unpack

__all__ = [
    "ElmanGradient",
    "ForwardResult",
    "GaussNewton",
    "forward",
    "gauss_newton",
    "loss_and_grad",
    "pack",
    "unpack",
]
