"""Measurements: `python -m tests.benchmarks [FIGURE...]`, one JSON line per figure. Not collected by pytest."""
