# SPDX-License-Identifier: BSD-3-Clause
"""Published EM fits, iteration by iteration."""

from __future__ import annotations

import numpy as np

import kelman
from kelman import Free, Template
from kelman.identify._em import em
from tests.reference.test_published import near, table


def test_case_33_robot_by_em() -> None:
    """Q and R of five states from 501 x 2 values with offsets: fifty log-likelihoods of MATLAB's toolbox; 1e-8 relative."""
    data, model = table("robot.csv"), table("robot_model.csv")
    A, P1, H = (np.column_stack([model[f"{name}{i + 1}"] for i in range(5)]) for name in "APH")
    z = np.column_stack([data["z1"], data["z2"]])
    b = np.column_stack([data[f"b{i + 1}"] for i in range(5)])
    template = Template(
        A, H[:2], Free(10 * np.eye(5)), Free(10 * np.eye(2)), b=b, c=model["c"][:2], m1=model["m"], P1=P1
    )  # fmt: skip
    found = em(template, template.start, z, max_iter=50, accelerate=False, tol=0)
    printed = [-3373.0135275, -3289.97715247, -3261.07946593, -3249.66981294, -3244.06088488]
    near(found.history[0][:5], printed, 1e-6)  # as printed
    np.testing.assert_allclose(found.history[0][:50], data["loglik"][:50], rtol=1e-8)
    fitted = template.model(found.theta[0])
    r = kelman.filter(fitted, z)
    near(r.mean[-1], [2.75525732, 11.28568056, -8.63915622, 7.20524186, -4.04385201], 1e-6)
    near(r.mean[-1], model["filtered"], 1e-6)
