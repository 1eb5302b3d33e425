"""A service that takes video files over HTTP: `clipduet serve --bundle B`."""
