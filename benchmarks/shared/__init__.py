"""What the benchmarks share: made data, a provider that takes no time, and how results are kept."""
