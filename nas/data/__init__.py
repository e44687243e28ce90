"""Data sets, subjects, folds, synthetic faces."""
