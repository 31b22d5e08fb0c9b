"""Fields by their path: walked, changed, swept, and what may have been meant."""
