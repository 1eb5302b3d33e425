"""The Open Inference Protocol, which clients of KServe and Triton speak."""
