"""Which passes a scenario makes, in which order, and how long they take together."""
