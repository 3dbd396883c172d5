"""The worker image, built and run as Lambda would; see docs/image.md."""
