"""Data made ready before any search: faces found, turned upright, cut out, brought to one size."""
