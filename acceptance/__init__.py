"""Long statistical checks with stated, consecutive seeds: ``python -m acceptance`` runs them and writes a result beside each.

One file per check; each holds a `Check` named CHECK. Failures are counted in, and no seed is ever replaced by another.
"""
