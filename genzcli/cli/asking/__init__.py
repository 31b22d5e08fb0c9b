"""From words to a scenario and its answer: flags, files, what was chosen, what changed nothing."""
