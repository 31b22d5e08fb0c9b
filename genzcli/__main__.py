"""`python -m genzcli` is `genz`."""

from __future__ import annotations

from genzcli.cli import main

if __name__ == "__main__":
    main()
