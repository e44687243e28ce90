"""A run's front beside the networks that the field uses, trained on the same folds with the same recipe."""
