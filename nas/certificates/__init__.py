"""Certificates: what a full protocol found of a finalist, written so that anyone can re-compute it."""
