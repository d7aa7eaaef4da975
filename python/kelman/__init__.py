# SPDX-License-Identifier: BSD-3-Clause
"""kelman: linear-Gaussian filtering, Elman networks, and the bridge between them.

Loading the package loads numpy and nothing else of weight; what needs more loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _core as _core, config as config, errors as errors
from .linear import Stepper as Stepper
from .models import (
    GRU as GRU,
    LSTM as LSTM,
    Bidirectional as Bidirectional,
    Elman as Elman,
    Free as Free,
    Stack as Stack,
    StateSpace as StateSpace,
    Template as Template,
    Tied as Tied,
)
from .verbs import (
    filter as filter,
    forecast as forecast,
    loglik as loglik,
    loglik_and_grad as loglik_and_grad,
    sample_states as sample_states,
    simulate as simulate,
    smooth as smooth,
    steady_state as steady_state,
)

if TYPE_CHECKING:
    from . import (
        bridge as bridge,
        datasets as datasets,
        estimators as estimators,
        experiments as experiments,
        identify as identify,
        linear as linear,
        lti as lti,
        models as models,
        plotting as plotting,
        rnn as rnn,
        structural as structural,
        systems as systems,
        torch as torch,
    )
    from .bridge import (
        compare as compare,
        excess_risk as excess_risk,
        network_inputs as network_inputs,
        read_activations as read_activations,
        read_dynamics as read_dynamics,
        reduce as reduce,
        to_elman as to_elman,
        to_state_space as to_state_space,
    )
    from .identify import (
        align as align,
        diagnose as diagnose,
        fit as fit,
        identifiability as identifiability,
        train as train,
        tune as tune,
    )
    from .rnn import forward as forward, loss_and_grad as loss_and_grad

    __version__: str

_LAZY: dict[str, str] = {
    "align": "kelman.identify",
    "compare": "kelman.bridge",
    "diagnose": "kelman.identify",
    "excess_risk": "kelman.bridge",
    "fit": "kelman.identify",
    "forward": "kelman.rnn",
    "identifiability": "kelman.identify",
    "loss_and_grad": "kelman.rnn",
    "network_inputs": "kelman.bridge",
    "read_activations": "kelman.bridge",
    "read_dynamics": "kelman.bridge",
    "reduce": "kelman.bridge",
    "to_elman": "kelman.bridge",
    "to_state_space": "kelman.bridge",
    "train": "kelman.identify",
    "tune": "kelman.identify",
}
"""Public names that load on first use -> the module that has them."""

_SUBPACKAGES = frozenset(
    (
        "bridge",
        "datasets",
        "estimators",
        "experiments",
        "identify",
        "linear",
        "lti",
        "models",
        "plotting",
        "rnn",
        "structural",
        "systems",
        "torch",
    )
)


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "__version__":
        value: Any = _version()
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBPACKAGES, "config", "errors", "__version__"})


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("kelman")
    except metadata.PackageNotFoundError:  # used in place, without installing
        return str(importlib.import_module("kelman._core").__version__)


__all__ = [  # noqa: RUF022 - in the order of sorted(), which a test and dir() share
    "Bidirectional",
    "Elman",
    "Free",
    "GRU",
    "LSTM",
    "Stack",
    "StateSpace",
    "Stepper",
    "Template",
    "Tied",
    "align",
    "compare",
    "config",
    "diagnose",
    "errors",
    "excess_risk",
    "filter",
    "fit",
    "forecast",
    "forward",
    "identifiability",
    "loglik",
    "loglik_and_grad",
    "loss_and_grad",
    "network_inputs",
    "read_activations",
    "read_dynamics",
    "reduce",
    "sample_states",
    "simulate",
    "smooth",
    "steady_state",
    "to_elman",
    "to_state_space",
    "train",
    "tune",
]
