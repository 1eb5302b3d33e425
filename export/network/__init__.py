"""From a checkpoint to ONNX and Paddle inference files."""
