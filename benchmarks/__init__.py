"""Benchmarks: documented programs with a baseline. Each runs as `python -m benchmarks.NAME [--short|--long]`.

Results go to `benchmarks/results/NAME-short.json` and `.md` (or -long), with the date, the machine and the versions. On
a shared machine compare ratios within one run, not times across runs.
"""
