"""Machines that a network may run on, here and elsewhere, and what can be foretold of them."""
