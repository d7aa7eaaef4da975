"""Workloads of the linear verbs, on a constant-velocity model in the plane (n = 4 states, m = 2 measured)."""

from __future__ import annotations

import numpy as np

import kelman
from benchmarks.measure import Options, Result, best_of, check
from benchmarks.peers import numpy_loop
from benchmarks.probes import Machine

A = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])
H = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]])
Q = 0.01 * np.array([[1 / 3, 0, 1 / 2, 0], [0, 1 / 3, 0, 1 / 2], [1 / 2, 0, 1, 0], [0, 1 / 2, 0, 1]])
R = np.eye(2)
P0 = 10 * np.eye(4)


def problem(N: int, T: int) -> tuple[kelman.StateSpace, np.ndarray]:
    """Return the model and N measured series of length T."""
    model = kelman.StateSpace(A, H, Q, R, m0=np.zeros(4), P0=P0)
    return model, kelman.simulate(model, T, N=N, rng=np.random.default_rng(1)).z


def filter_flops(n: int, m: int) -> float:
    """Return the multiplications and additions of one step of a covariance filter that keeps one triangle."""
    predict = 2 * n**3 + n * (n + 1) * n + 2 * n * n
    update = 2 * n * n * m + n * m * (m + 1) + 2 * n * m * m + n * (n + 1) * m + 4 * n * m + m**3 / 3
    return predict + update


def K1(options: Options, machine: Machine) -> Result:
    """Filter with means and covariances kept, fresh results and results written into `out=`."""
    N, T, few = (1000, 200, 4) if options.quick else (10_000, 500, 10)
    model, z = problem(N, T)
    mean, cov, _ = numpy_loop.kalman_filter(A, H, Q, R, np.zeros(4), P0, z[:few])
    kept = kelman.filter(model, z, threads=options.threads)
    difference = max(check(kept.mean[:few], mean, 1e-9, "means"), check(kept.cov[:few], cov, 1e-9, "covariances"))
    per_step = 1e9 / (N * T)
    fresh = best_of(lambda: kelman.filter(model, z, threads=options.threads)) * per_step
    reused = best_of(lambda: kelman.filter(model, z, out=kept, threads=options.threads)) * per_step
    loop = best_of(lambda: numpy_loop.kalman_filter(A, H, Q, R, np.zeros(4), P0, z[:few])) * 1e9 / (few * T)
    return Result(
        "ns per series-step",
        {"kelman, fresh results": fresh, "kelman, out=": reused, "textbook NumPy loop": loop},
        46 / 12,
        "12 times the best peer measured, 46 ns; with out= 20 times",
        difference,
        {
            "multiply-add": filter_flops(4, 2) / reused / machine.gflops / options.threads,
            "memory written": 8 * (4 + 16) / reused / machine.write_gbs / options.threads,
        },
    )


def K1L(options: Options, machine: Machine) -> Result:
    """Log-likelihood only."""
    N, T, few = (1000, 200, 4) if options.quick else (10_000, 500, 10)
    model, z = problem(N, T)
    _, _, loglik = numpy_loop.kalman_filter(A, H, Q, R, np.zeros(4), P0, z[:few])
    difference = check(kelman.loglik(model, z, threads=options.threads)[:few], loglik, 1e-9, "log-likelihood")
    ours = best_of(lambda: kelman.loglik(model, z, threads=options.threads)) * 1e9 / (N * T)
    loop = best_of(lambda: numpy_loop.kalman_filter(A, H, Q, R, np.zeros(4), P0, z[:few])) * 1e9 / (few * T)
    return Result(
        "ns per series-step",
        {"kelman": ours, "textbook NumPy loop": loop},
        20 / 12,
        "12 times the best peer measured, 20 ns",
        difference,
        {"multiply-add": filter_flops(4, 2) / ours / machine.gflops / options.threads},
    )


def K3(options: Options, machine: Machine) -> Result:
    """Smoother with means and covariances."""
    N, T, few = (500, 200, 4) if options.quick else (2000, 500, 10)
    model, z = problem(N, T)
    mean, cov = numpy_loop.smoother(A, H, Q, R, np.zeros(4), P0, z[:few])
    kept = kelman.smooth(model, z, threads=options.threads)
    difference = max(check(kept.mean[:few], mean, 1e-9, "means"), check(kept.cov[:few], cov, 1e-9, "covariances"))
    ours = best_of(lambda: kelman.smooth(model, z, threads=options.threads)) * 1e9 / (N * T)
    loop = best_of(lambda: numpy_loop.smoother(A, H, Q, R, np.zeros(4), P0, z[:few])) * 1e9 / (few * T)
    return Result(
        "ns per series-step",
        {"kelman": ours, "textbook NumPy loop": loop},
        71 / 12,
        "12 times the best peer measured, 71 ns",
        difference,
        {"memory written": 8 * (4 + 16) / ours / machine.write_gbs / options.threads},
    )
