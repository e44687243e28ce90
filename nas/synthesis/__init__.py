"""How to propose: search strategies."""
