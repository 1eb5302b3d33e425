"""Native TensorRT engines."""
