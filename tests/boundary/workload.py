"""One piece of work for every verb of the core, run by each variant: `python -m tests.boundary.workload FILE.npz`."""

from __future__ import annotations

import sys

import numpy as np

import kelman
from kelman import _core


def linear(dtype: type) -> dict[str, np.ndarray]:
    """Filter, smooth and differentiate series with gaps, inputs, S, time-varying and per-series matrices."""
    rng = np.random.default_rng(5)
    out = {}
    for n, m in ((1, 1), (2, 1), (4, 2), (9, 3)):
        A = np.linalg.qr(rng.standard_normal((n, n)))[0] * 0.9
        H = rng.standard_normal((m, n))
        half = rng.standard_normal((n + m, n + m))
        noise = half @ half.T / (n + m) + 0.1 * np.eye(n + m)
        Q, R, S = noise[:n, :n], noise[n:, n:], noise[:n, n:]
        B = rng.standard_normal((n, 2))
        N, T = 11, 40
        z, u = rng.standard_normal((N, T, m)), rng.standard_normal((N, T, 2))
        z[rng.random(z.shape) < 0.1] = np.nan
        models = {
            "shared": kelman.StateSpace(A, H, Q, R, B=B, m0=np.zeros(n), P0=np.eye(n)),
            "correlated": kelman.StateSpace(A, H, Q, R, S=S, B=B, m1=np.zeros(n), P1=np.eye(n)),
            "varying": kelman.StateSpace(
                A * np.linspace(0.8, 1.0, T)[:, None, None],
                H,
                Q * rng.uniform(0.5, 2, N)[:, None, None, None],
                R,
                B=B,
                m0=np.zeros(n),
                P0=np.eye(n),
            ),
        }
        if n < 9:  # nine states from gappy triples are observed so weakly that rounding shows
            models["diffuse"] = kelman.StateSpace(A, H, Q, R, B=B, initial="diffuse")
        for name, model in models.items():
            key = f"{name}-{n}-{np.dtype(dtype).name}"
            r = kelman.filter(model.astype(dtype), z.astype(dtype), u.astype(dtype), store="all")
            out |= {f"{key}-mean": r.mean, f"{key}-cov": r.cov, f"{key}-loglik": r.loglik}
            s = kelman.smooth(model.astype(dtype), z.astype(dtype), u.astype(dtype), lag=1)
            out |= {f"{key}-smooth": s.mean, f"{key}-smooth-cov": s.cov, f"{key}-lag": s.lag_one_cov}
            if dtype == np.float64:
                _, g = kelman.loglik_and_grad(model, z, u)
                out |= {f"{key}-d{letter}": array for letter, array in g.items()}
    return out


def fast_ways() -> dict[str, np.ndarray]:
    """Run what has kernels of its own: shared covariances, groups, lanes, a long series, online steps, gradients."""
    rng = np.random.default_rng(8)
    out = {}
    for n, m in ((1, 1), (2, 1), (4, 2), (8, 3), (12, 2)):
        A = np.linalg.qr(rng.standard_normal((n, n)))[0] * 0.9
        model = kelman.StateSpace(A, rng.standard_normal((m, n)), np.eye(n), np.eye(m), m0=np.zeros(n), P0=np.eye(n))
        own = kelman.StateSpace(
            A * rng.uniform(0.9, 1.1, (19, 1, 1, 1)), model.H, model.Q, model.R, m0=np.zeros(n), P0=np.eye(n)
        )
        z = rng.standard_normal((19, 70, m))
        gaps, calendar = z.copy(), z.copy()
        gaps[rng.random(z.shape[:2]) < 0.1] = np.nan
        calendar[::2, 20:30] = np.nan
        for name, one, values in (
            ("complete", model, z),
            ("calendar", model, calendar),
            ("gaps", model, gaps),
            ("own", own, gaps),
            ("long", model, rng.standard_normal((5000, m))),
        ):
            key = f"{name}-{n}"
            r, s = kelman.filter(one, values), kelman.smooth(one, values)
            out |= {f"{key}-mean": r.mean, f"{key}-cov": r.cov, f"{key}-loglik": np.asarray(r.loglik)}
            out |= {f"{key}-smooth": s.mean, f"{key}-smooth-cov": s.cov}
            loglik, gradient = kelman.loglik_and_grad(one, values)
            out |= {f"{key}-d{x}": gradient[x] for x in "AHQR"} | {f"{key}-sum": np.asarray(loglik)}
        step = kelman.Stepper(model, 19)
        out[f"steps-{n}"] = np.array([step(gaps[:, k]) for k in range(20)])
    return out


def networks() -> dict[str, np.ndarray]:
    """Run and differentiate an Elman network with every hidden activation."""
    rng = np.random.default_rng(6)
    out = {}
    U, W, V = rng.standard_normal((7, 7)) * 0.3, rng.standard_normal((7, 3)), rng.standard_normal((2, 7))
    b, c = rng.standard_normal(7), rng.standard_normal(2)
    x, y = rng.standard_normal((13, 30, 3)), rng.standard_normal((13, 30, 2))
    for hidden in ("identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"):
        rnn = kelman.Elman(U, W, b, V, c, hidden=hidden)
        loss, gradient = kelman.loss_and_grad(rnn, x, y)
        out |= {f"{hidden}-y": kelman.forward(rnn, x).y, f"{hidden}-loss": np.asarray(loss)}
        out |= {f"{hidden}-d{name}": getattr(gradient, name) for name in "UWbVc"}
    return out


if __name__ == "__main__":
    np.savez(
        sys.argv[1], isa=np.asarray(_core.isa), **linear(np.float64), **linear(np.float32), **fast_ways(), **networks()
    )
