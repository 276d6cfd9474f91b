"""Programs that try to break pixelrnn for as long as one likes: crash, soak, fuzz. Not part of the tests."""
