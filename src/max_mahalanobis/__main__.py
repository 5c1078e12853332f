"""`python -m max_mahalanobis` is `mmc`."""

from .cli import main

main()
