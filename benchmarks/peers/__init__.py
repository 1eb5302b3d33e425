"""From a file to a label: PaddleVideo's own predictor and ours, in turns."""
