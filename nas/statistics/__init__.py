"""What measured shares say of new people: intervals, corrections for many tests, paired comparisons."""
