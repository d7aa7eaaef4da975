"""Hypothesis strategies for state-space models "of every kind", each with data drawn from it.

`cases()` draws a structure (sizes, which matrices vary in time or by series, start, gaps, inputs, lag, offsets, S,
singular Q or R) and fills it with numbers from a seeded generator, so that a failing example shrinks to the simplest
structure that still fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

STARTS = ("x0", "x1", "x1_partly_diffuse", "stationary", "diffuse", "auto")
GAPS = ("none", "component", "whole", "mixed", "first")
VARY = ("constant", "time", "series", "both")


@dataclass(frozen=True)
class Case:
    """Keyword arguments of a `kelman.StateSpace`, data for it, and how it was made."""

    arguments: dict[str, Any]
    z: np.ndarray  # (N, T, m), NaN where missing
    u: np.ndarray | None  # (N, T + steps, p)
    steps: int
    lag: int
    kind: dict[str, Any] = field(default_factory=dict)

    def model(self, dtype: Any = np.float64, *, steps: int = 0) -> Any:
        """The model over the length of z plus `steps` (by `from_shifted` when lag is 1)."""
        import kelman

        length, ranks = self.z.shape[1] + steps, {"b": 1, "c": 1}
        arguments = dict(self.arguments)
        for name in ("A", "H", "Q", "R", "B", "D", "b", "c", "S"):
            value = arguments.get(name)
            if value is None:
                continue
            extra = value.ndim - ranks.get(name, 2)
            if extra and value.shape[extra - 1] > 1:
                arguments[name] = value[:length] if extra == 1 else value[:, :length]
        make = kelman.StateSpace.from_shifted if self.lag else kelman.StateSpace
        return make(**arguments).astype(dtype)

    @property
    def u_past(self) -> np.ndarray | None:
        """The inputs that go with z."""
        return None if self.u is None else self.u[:, : self.z.shape[1]]

    @property
    def u_future(self) -> np.ndarray | None:
        """The inputs of the steps to forecast."""
        return None if self.u is None else self.u[:, self.z.shape[1] :]

    def __repr__(self) -> str:
        return f"build({self.kind}, {self.steps})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        printer.text(repr(self))


def _varied(rng: np.random.Generator, make: Any, vary: str, N: int, T: int) -> np.ndarray:
    """One matrix in the layout that `vary` names."""
    if vary == "constant":
        return make()
    if vary == "time":
        return np.stack([make() for _ in range(T)])
    if vary == "series":
        return np.stack([make() for _ in range(N)])[:, None]
    return np.stack([np.stack([make() for _ in range(T)]) for _ in range(N)])


def _transition(rng: np.random.Generator, n: int, radius: float) -> np.ndarray:
    A = rng.normal(size=(n, n))
    return A * (radius / max(np.abs(np.linalg.eigvals(A)).max(), 0.1))


def _with_unit_roots(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    """A transition with `count` eigenvalues on the unit circle (a root 1, or a rotation) and the others inside."""
    A = np.zeros((n, n))
    if count == 2:
        angle = rng.uniform(0.4, 2.0)
        A[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    elif count == 1:
        A[0, 0] = 1.0
    if n > count:
        A[count:, count:] = _transition(rng, n - count, rng.uniform(0.2, 0.8))
    basis = np.eye(n) + 0.3 * rng.normal(size=(n, n))
    return basis @ A @ np.linalg.inv(basis)


def _noise(rng: np.random.Generator, n: int, m: int, q_rank: int, r_rank: int, cross: bool) -> tuple[np.ndarray, ...]:
    """Q, R, S with the wanted ranks from one joint factor (cross-free unless `cross`)."""
    width = max(q_rank, r_rank, 1)
    W = np.zeros((n, 2 * width))
    V = np.zeros((m, 2 * width))
    W[:, :q_rank] = rng.normal(size=(n, q_rank)) + np.eye(n, q_rank)
    V[:, width : width + r_rank] = rng.normal(size=(m, r_rank)) * 0.5 + np.eye(m, r_rank)
    if cross and q_rank:  # R + part of W: still a covariance, with rank(R) as small as it can be
        V = V[:, width : width + r_rank] @ np.hstack([0.6 * rng.normal(size=(r_rank, width)), np.eye(r_rank, width)])
    return W @ W.T, V @ V.T, W @ V.T


@st.composite
def cases(
    draw: Any,
    *,
    max_T: int = 12,
    starts: tuple[str, ...] = STARTS,
    vary: tuple[str, ...] = VARY,
    gaps: tuple[str, ...] = GAPS,
    singular: bool = True,
    cross: bool = True,
    batch: bool = True,
    lags: tuple[int, ...] = (0, 1),
) -> Case:
    """A model of any kind with data drawn from it: T <= max_T, n <= 4, m <= 3, p <= 2, N <= 3."""
    n, m = draw(st.integers(1, 4), label="n"), draw(st.integers(1, 3), label="m")
    T, N = draw(st.integers(1, max_T), label="T"), draw(st.integers(1, 3), label="N") if batch else 1
    p, steps = draw(st.integers(0, 2), label="p"), draw(st.integers(1, 3), label="steps")
    lag = draw(st.sampled_from(lags if set(starts) != {"x0"} else (0,)), label="input_lag")
    start = draw(st.sampled_from([s for s in starts if not (lag and s == "x0")]), label="start")
    fixed = start in ("stationary", "auto")  # these need a transition that does not change with time
    kinds = {name: draw(st.sampled_from(vary), label=f"vary {name}") for name in ("A", "H", "noise", "input", "offset")}
    if fixed:
        kinds = {name: {"time": "constant", "both": "series"}.get(kind, kind) for name, kind in kinds.items()}
    if N == 1:
        kinds = {name: {"series": "constant", "both": "time"}.get(kind, kind) for name, kind in kinds.items()}
    q_rank = draw(st.integers(0, n), label="rank Q") if singular else n
    r_rank = draw(st.integers(0, m), label="rank R") if singular else m
    correlated = cross and draw(st.booleans(), label="S")
    offsets, D_too = draw(st.booleans(), label="offsets"), draw(st.booleans(), label="D")
    gap = draw(st.sampled_from(gaps), label="gaps")
    seed = draw(st.integers(0, 2**32 - 1), label="seed")
    kind = {"n": n, "m": m, "T": T, "N": N, "p": p, "lag": lag, "start": start, **kinds, "rank_Q": q_rank}
    kind |= {"rank_R": r_rank, "S": correlated, "offsets": offsets, "D": D_too, "gaps": gap, "seed": seed}
    return build(kind, steps)


def build(kind: dict[str, Any], steps: int = 2) -> Case:
    """The case that a structure describes (also used without Hypothesis, from a seed)."""
    n, m, T, N, p, start = (kind[name] for name in ("n", "m", "T", "N", "p", "start"))
    rng = np.random.default_rng(kind["seed"])
    span = T + steps  # time-varying matrices cover the forecast too

    def transition() -> np.ndarray:
        if start == "auto":
            return _with_unit_roots(rng, n, min(n, 1 + kind["seed"] % 2))
        return _transition(rng, n, rng.uniform(0.3, 0.9 if start == "stationary" else 1.05))

    arguments: dict[str, Any] = {
        "A": _varied(rng, transition, kind["A"], N, span),
        "H": _varied(rng, lambda: rng.normal(size=(m, n)), kind["H"], N, span),
    }
    ranks = (kind["rank_Q"], kind["rank_R"])
    triples = _varied(rng, lambda: np.array(_blocks(_noise(rng, n, m, *ranks, kind["S"]))), kind["noise"], N, span)
    arguments["Q"], arguments["R"] = triples[..., :n, :n], triples[..., n:, n:]
    if kind["S"]:
        arguments["S"] = triples[..., :n, n:]
    if p:
        arguments["B"] = _varied(rng, lambda: rng.normal(size=(n, p)), kind["input"], N, span)
        if kind["D"]:
            arguments["D"] = _varied(rng, lambda: rng.normal(size=(m, p)), kind["input"], N, span)
    if kind["offsets"]:
        arguments["b"] = _varied(rng, lambda: rng.normal(size=n), kind["offset"], N, span)
        arguments["c"] = _varied(rng, lambda: rng.normal(size=m), kind["offset"], N, span)
    arguments |= _start(rng, start, n, N)
    u = rng.normal(size=(N, span, p)) if p else None
    z = np.stack([_draw_series(rng, arguments, i, T, m, u, kind["lag"]) for i in range(N)])
    z[np.abs(z) < 1e-12] = 0.0  # the rounding of a state that is exactly zero
    z[_gaps(rng, kind["gaps"], z.shape)] = np.nan
    return Case(arguments, z, u, steps, kind["lag"], kind)


def _blocks(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    Q, R, S = parts
    return np.block([[Q, S], [S.T, R]])


def _start(rng: np.random.Generator, start: str, n: int, N: int) -> dict[str, Any]:
    """Start values by kind; per series when there are several (m and P of different layouts)."""
    if start in ("stationary", "diffuse", "auto"):
        return {"initial": start}
    mean = rng.normal(size=(N, n)) if N > 1 else rng.normal(size=n)
    factor = rng.normal(size=(n, n)) + np.eye(n)
    if start == "x0":
        return {"m0": mean, "P0": factor @ factor.T}
    if start == "x1":
        return {"m1": mean, "P1": factor @ factor.T}
    rank = int(rng.integers(1, n + 1))
    V = rng.normal(size=(n, rank))
    V = np.linalg.qr(V)[0]
    return {"m1": mean, "P1": factor @ factor.T, "P1_inf": V @ V.T}


def _draw_series(
    rng: np.random.Generator, a: dict[str, Any], i: int, T: int, m: int, u: np.ndarray | None, lag: int
) -> np.ndarray:
    """One series from the model, so that components without noise agree with the model."""

    def at(name: str, rank: int, k: int) -> Any:
        value = a.get(name)
        if value is None:
            return None
        if value.ndim == rank + 2:
            value = value[min(i, len(value) - 1)]
        return value[min(k, len(value) - 1)] if value.ndim == rank + 1 else value

    def root(C: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(C)
        return vectors * np.sqrt(np.maximum(values, 0) * (values > 1e-12 * max(values.max(), 1e-300)))

    n = a["A"].shape[-1]
    if "m1" in a or "m0" in a:
        mean = a.get("m1", a.get("m0"))
        x = (mean[i] if mean.ndim == 2 else mean) + root(a.get("P1", a.get("P0"))) @ rng.normal(size=n)
    else:
        x = _stationary_draw(rng, at, n, u, i, lag, a["initial"])
    z = np.empty((T, m))
    noise = np.zeros(n + m)
    for k in range(T):
        S = at("S", 2, k)
        S = np.zeros((n, m)) if S is None else S
        if k > 0 or "m0" in a:
            w = root(at("Q", 2, 0)) @ rng.normal(size=n) if k == 0 else noise[:n]
            x = at("A", 2, k - lag) @ x + w
            drive = None if u is None or a.get("B") is None else at("B", 2, k - lag) @ u[i, k - lag]
            x = x + (0 if drive is None else drive) + (0 if at("b", 1, k) is None else at("b", 1, k - lag))
        noise = root(_blocks((at("Q", 2, k), at("R", 2, k), S))) @ rng.normal(size=n + m)
        z[k] = at("H", 2, k) @ x + noise[n:]
        if u is not None and a.get("D") is not None:
            z[k] += at("D", 2, k) @ u[i, k]
        if a.get("c") is not None:
            z[k] += at("c", 1, k)
    return z


def _stationary_draw(
    rng: np.random.Generator, at: Any, n: int, u: np.ndarray | None, i: int, lag: int, initial: str
) -> np.ndarray:
    """A first state that a stationary, diffuse or mixed start can have produced, without noise in dead directions."""
    if initial == "diffuse":
        return 3 * rng.normal(size=n)
    A, Q, b = at("A", 2, 0), at("Q", 2, 0), at("b", 1, 0)
    values, right = np.linalg.eig(A)
    stable, left = np.abs(values) < 1 - 1e-8, np.linalg.inv(right)
    x = np.zeros(n)
    project = (right[:, stable] @ left[stable]).real
    values_Q, vectors_Q = np.linalg.eigh(Q)
    root = vectors_Q * np.sqrt(np.maximum(values_Q, 0) * (values_Q > 1e-12 * max(values_Q.max(), 1e-300)))
    for _ in range(400):
        x = project @ (A @ x + root @ rng.normal(size=n) + (0 if b is None else b))
    x = x + (right[:, ~stable] @ (left[~stable] @ rng.normal(size=n))).real * 3
    if u is not None and at("B", 2, 0) is not None and lag == 0:
        x = x + at("B", 2, 0) @ u[i, 0]
    return x


def _gaps(rng: np.random.Generator, gaps: str, shape: tuple[int, ...]) -> np.ndarray:
    """Where z is missing."""
    N, T, _ = shape
    missing = np.zeros(shape, dtype=bool)
    if gaps in ("component", "mixed"):
        missing |= rng.random(shape) < 0.25
    if gaps in ("whole", "mixed"):
        missing |= (rng.random((N, T)) < 0.25)[..., None]
    if gaps == "first":
        missing[:, : max(1, T // 3)] = True
    return missing


def random_kind(seed: int, **fixed: Any) -> dict[str, Any]:
    """A structure drawn from a seed, for loops outside Hypothesis."""
    rng = np.random.default_rng(seed)
    n, m, N = int(rng.integers(1, 5)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    lag = int(rng.integers(0, 2))
    start = str(rng.choice([s for s in STARTS if not (lag and s == "x0")]))
    kinds = {name: str(rng.choice(VARY)) for name in ("A", "H", "noise", "input", "offset")}
    if start in ("stationary", "auto"):
        kinds = {name: {"time": "constant", "both": "series"}.get(kind, kind) for name, kind in kinds.items()}
    if N == 1:
        kinds = {name: {"series": "constant", "both": "time"}.get(kind, kind) for name, kind in kinds.items()}
    flags = {name: bool(rng.integers(2)) for name in ("S", "offsets", "D")}
    kind = {"n": n, "m": m, "T": int(rng.integers(1, 13)), "N": N, "p": int(rng.integers(0, 3)), "lag": lag}
    kind |= {"start": start, **kinds, "rank_Q": int(rng.integers(0, n + 1)), "rank_R": int(rng.integers(0, m + 1))}
    return kind | flags | {"gaps": str(rng.choice(GAPS)), "seed": seed} | fixed
