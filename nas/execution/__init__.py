"""Where, and by whom, a search is driven."""
