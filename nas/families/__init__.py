"""Families of architectures: one file each, expanding to the operator graph."""
