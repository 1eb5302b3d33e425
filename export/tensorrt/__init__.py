"""TensorRT engines, built for the GPU that will run them."""
