"""How sure a network may say that it is: temperature, and thresholds for a wanted precision."""
