"""Measurements: `make bench` prints one JSON line per figure, each beside its peer in the same run."""
