"""`python -m pixelrnn`: the same as `pixelrnn`, for a Python whose scripts are not on the path."""

from pixelrnn.cli import main

if __name__ == "__main__":
    main()
