"""From a video file to a label: read, sample, preprocess, run, rank. Deployable alone."""
