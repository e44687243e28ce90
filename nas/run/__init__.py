"""A run on disk: journal, fronts, provenance."""
