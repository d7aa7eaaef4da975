# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks over sequences: forward, online, gradients, Gauss-Newton normal equations."""

from ._forward import ForwardResult as ForwardResult, forward as forward
from ._gauss_newton import GaussNewton as GaussNewton, gauss_newton as gauss_newton
from ._gradient import loss_and_grad as loss_and_grad
from ._gradient_result import NetworkGradient as NetworkGradient
from ._parameters import pack as pack, unpack as unpack
from ._stepper import NetworkStepper as NetworkStepper

ElmanGradient = NetworkGradient
"""The name that the record had while there was one cell."""

__all__ = [
    "ElmanGradient",
    "ForwardResult",
    "GaussNewton",
    "NetworkGradient",
    "NetworkStepper",
    "forward",
    "gauss_newton",
    "loss_and_grad",
    "pack",
    "unpack",
]
