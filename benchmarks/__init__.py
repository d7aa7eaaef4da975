"""How fast kelman is on this machine, beside others: ``python -m benchmarks K1 --peers all``.

Every answer is checked against the textbook recursion before it is timed. The workloads of the linear verbs are rows of
``benchmarks.workloads``; what does not fit there is a function in a file of its own and a row of ``OTHERS``.
"""

from __future__ import annotations

# name: (module:function, what it measures)
OTHERS = {
    "import": ("benchmarks.imports:run", "time that `import kelman` adds to `import numpy`"),
    "threads": ("benchmarks.threads:run", "two threads beside one"),
    "threads-networks": ("benchmarks.threads:networks", "two threads beside one, loss and gradient of networks"),
    "memory": ("benchmarks.memory:run", "log-likelihoods of 100,000 x 1,000 in the memory of their input"),
    "million": ("benchmarks.million:run", "likelihood and gradient of 1,000,000 x 50, one local level for all"),
}
