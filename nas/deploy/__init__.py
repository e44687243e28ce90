"""What ships: export, latency."""
