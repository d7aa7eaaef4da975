"""How much arithmetic and memory traffic a step needs: what the machine's probes are compared with."""

from __future__ import annotations

from typing import Any

from benchmarks.networks import NetworkWorkload
from benchmarks.probes import Machine
from benchmarks.workloads import Workload


def flops(task: str, n: int, m: int, shared: bool) -> float:
    """Return the multiplications and additions of one series-step, covariances as triangles, nothing skipped as zero."""
    mean = 2 * n * n + 4 * n * m + m * (m + 2)  # A x; H x and K e; the quadratic form
    if task in ("loglik", "filter", "stream"):
        return mean if shared else forward(n, m)
    if task == "gradient":
        return 3 * mean + 2 * n * n + 2 * n * m if shared else forward(n, m) + backward(n, m) + 4 * n**3 + 4 * n * n * m
    if task == "em":  # twenty times the gradient, and the smoothed covariances again
        return 20 * (2 * forward(n, m) + 2 * backward(n, m) + 4 * n**3 + 4 * n * n * m)
    if task == "variances":  # some forty gradients: steps, their searches, second derivatives
        return 40 * flops("gradient", n, m, shared=False)
    back = 4 * n * n + 4 * n * m  # A' r, x + P r; H' u, K' r
    return mean + back if shared else forward(n, m) + backward(n, m)


def forward(n: int, m: int) -> float:
    """Count one step of the covariance filter: A P A' + Q and A x, then the update by m values."""
    predict = 2 * n**3 + n * (n + 1) * n + 2 * n * n
    update = 2 * n * n * m + n * m * (m + 1) + 2 * n * m * m + n * (n + 1) * m + 4 * n * m + m**3 / 3
    return predict + update


def backward(n: int, m: int) -> float:
    """Count one step of the smoother: A' N A, P - P N P, and the update of r and N by m values."""
    return 4 * n**3 + 2 * n * n * (n + 1) + 4 * n * n + 4 * n * n * m + 2 * n * m * m + n * (n + 1) * m + 8 * n * m


def written(workload: Workload, n: int) -> float:
    """Return the bytes of results that one series-step leaves in memory."""
    moments = n + (0 if workload.shared else n * n)
    return {"filter": 8.0 * moments, "smooth": 8.0 * moments, "both": 16.0 * moments}.get(workload.task, 0.0)


def fractions(
    workload: Workload | NetworkWorkload, way: str, n: int, m: int, ns: float, machine: Machine
) -> dict[str, float]:
    """Return the share of the multiply-add probe and of the memory probes that `ns` for a series-step reaches."""
    if isinstance(workload, NetworkWorkload):
        return {"multiply-add": workload.flops() / ns / machine.gflops / machine.threads}
    settled = (
        workload.N == 1 and workload.task in ("filter", "loglik") and "every step" not in way
    )  # gains are constant
    share = {
        "multiply-add": flops(workload.task, n, m, workload.shared or settled) / ns / machine.gflops / machine.threads
    }
    results = written(workload, n)
    if results:
        rate = machine.touch_gbs if way == "fresh" else machine.stream_gbs
        share["memory"] = (8 * m / machine.read_gbs + results / rate) / ns
    elif workload.task == "loglik" and workload.shared:
        share["memory"] = 8 * m / machine.read_gbs / ns
    return share


def needed(
    workload: Workload | NetworkWorkload, shares: dict[str, float], ns: float, goal: float, machine: Machine
) -> dict[str, float]:
    """Return the shares of the probes that `goal`, nanoseconds for a series-step, asks for, when `ns` reaches `shares`.

    Of a network also the share of that time that its activations take alone: the same units compute both.
    """
    asked = {name: value * ns / goal for name, value in shares.items()}
    if isinstance(workload, NetworkWorkload):
        times = machine.activations
        alone = sum(count * times[f"{word} {workload.dtype}"] for word, count in workload.activations().items())
        asked["activations"] = alone / goal / machine.threads
    return asked


def told(one: dict[str, Any], unit: str) -> str:
    """Return what the goal of one of kelman's ways asks of the machine."""
    shares = dict(one["needed"]["shares"])
    activations = shares.pop("activations", None)
    text = f"the goal is {one['needed']['value']:.3g} {unit}"
    if shares:
        text += ", which is " + " and ".join(f"{value:.0%} of {name}" for name, value in shares.items())
        text += " (more than there is)" if max(shares.values()) > 1 else ""
    if activations is not None:
        text += f"; the activations alone, side by side in registers, take {activations:.0%} of that time"
    return text
