"""Long videos and live sources, a window at a time."""
