"""MPEG-4 part 2: what headers show of a stream, to leave pictures out of decoding."""
