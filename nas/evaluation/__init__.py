"""How to evaluate: train, test, measure, in a process of its own."""
