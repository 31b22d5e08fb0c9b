"""From YAML to nouns: find a file, read it, check it, cite it. Knows no formula and no printing."""
