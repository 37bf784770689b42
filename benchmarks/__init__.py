"""Benchmarks: whole figures (seconds, CPU seconds, peak memory, size), peers in the same run where there are any."""
