"""H.264: what headers show of a stream, to leave pictures out of decoding."""
