"""Every key of a config, block by block."""
