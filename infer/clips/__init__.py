"""From a video file to the pixels that a network sees."""
