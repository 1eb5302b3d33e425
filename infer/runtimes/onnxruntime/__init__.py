"""ONNX Runtime: on the CPU, on NVIDIA GPUs by CUDA, and on them by TensorRT."""
