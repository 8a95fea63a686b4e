"""One module per workload: `run(ground)` yields a result per case."""
