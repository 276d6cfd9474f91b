"""`python -m pixelrnn.cli`, for launchers such as torchrun."""

from pixelrnn.cli import main

if __name__ == "__main__":  # and not where a process of ours imports it again
    main()
