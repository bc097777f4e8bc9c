"""What all benchmarks share: cells, grids, settings, workers."""
