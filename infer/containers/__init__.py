"""Video files before they are decoded: formats, what they announce, limits, damage."""
