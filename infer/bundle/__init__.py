"""The folder that an export writes and everything after it reads."""
