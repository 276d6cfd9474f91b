"""`python -m pixelrnn` is `pixelrnn`: for launchers such as torchrun, and a Python whose scripts are not on the path."""

from pixelrnn.cli import main

if __name__ == "__main__":  # and not when a process of ours imports it again
    main()
