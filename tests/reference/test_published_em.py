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


def test_case_39_johnson_and_johnson_by_em() -> None:
    """Growing trend and quarterly seasonal by EM, finished by quasi-Newton (Shumway and Stoffer, chapter 6); 1e-3."""
    z = table("johnson_johnson.csv")["value"]
    A = [[Free(1.03, name="phi"), 0, 0, 0], [0, -1, -1, -1], [0, 1, 0, 0], [0, 0, 1, 0]]
    Q = [[Free(0.01, name="trend"), 0, 0, 0], [0, Free(0.01, name="season"), 0, 0], [0] * 4, [0] * 4]
    template = Template(A, [[1, 1, 0, 0]], Q, [[Free(0.25, name="noise")]], m0=[0.7, 0, 0, 0], P0=0.04 * np.eye(4))
    found = kelman.fit(z, template=template, method="em")
    near(found.theta[0], 1.0350835, 1e-4)
    near(np.sqrt(found.theta[1:]), [0.1397052, 0.2208703, 0.0], 1e-3)
    near(-(found.loglik + 0.5 * len(z) * np.log(2 * np.pi)), -33.0994903, 1e-4)
