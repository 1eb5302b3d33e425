"""The clips that an export verifies and calibrates on."""
