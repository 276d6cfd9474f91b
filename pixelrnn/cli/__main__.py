"""`python -m pixelrnn.cli`, for launchers such as torchrun."""

from pixelrnn.cli import main

main()
