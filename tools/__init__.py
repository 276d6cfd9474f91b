"""Programs for those who work on pixelrnn, apart from tests, benchmarks and stress."""
