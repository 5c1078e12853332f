"""`python -m max_mahalanobis` is `mmc`."""

from .cli import main

if __name__ == "__main__":
    main()
