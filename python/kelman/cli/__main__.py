# SPDX-License-Identifier: BSD-3-Clause
"""``python -m kelman.cli``: the same as the command ``kelman``."""

from kelman.cli import main

if __name__ == "__main__":
    main()
