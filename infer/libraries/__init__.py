"""Third-party packages: their settings, the oldest tested versions, commands to install them."""
