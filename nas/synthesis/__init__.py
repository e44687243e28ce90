"""How to propose: search strategies."""

from nas.synthesis.sampler import SynthesisSampler

__all__ = ["SynthesisSampler"]
