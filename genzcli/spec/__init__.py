"""The nouns of the domain, frozen. Knows no file format, no formula and no printing."""
