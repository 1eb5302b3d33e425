"""What the clips of these tests show."""

CLASSES = {"turn left": 0, "turn right": 1, "wait": 2}
