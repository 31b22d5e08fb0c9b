"""Many points: words to axes and searches, rows to files, other processes, charts."""
