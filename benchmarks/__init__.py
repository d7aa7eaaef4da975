"""How fast kelman is on this machine: ``python -m benchmarks K1 --quick``.

Each workload compares kelman with another implementation whose answer is checked first, prints the ratio and the goal,
and stands beside two probes of the machine. A new workload is a new function (or file) and a row of ``WORKLOADS``.
"""

from __future__ import annotations

# name: (module:function, what it measures)
WORKLOADS = {
    "import": ("benchmarks.imports:run", "time that `import kelman` adds to `import numpy`"),
    "K1": ("benchmarks.linear:K1", "filter, means and covariances: 10,000 series x 500 steps, n = 4, m = 2"),
    "K1L": ("benchmarks.linear:K1L", "log-likelihood of the same"),
    "K3": ("benchmarks.linear:K3", "smoother, means and covariances: 2,000 series x 500 steps"),
}
