# `clipduet serve` on an NVIDIA GPU, with ONNX Runtime on CUDA. In the checkout:
#
#   docker build -f docker/gpu.Dockerfile -t clipduet:gpu .
#   docker run --gpus all --read-only --tmpfs /tmp --cap-drop ALL \
#     --security-opt no-new-privileges -p 127.0.0.1:8000:8000 \
#     -v "$PWD/bundles/mine:/bundle:ro" clipduet:gpu
#
# The host needs a driver that supports CUDA 13, and the NVIDIA Container Toolkit. CUDA and cuDNN
# themselves come as Python packages.
FROM python:3.11-slim-bookworm AS build

WORKDIR /source
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY infer infer
# onnxruntime and onnxruntime-gpu own the same files: one goes before the other comes.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir -c constraints.txt '.[serve]' \
    && /venv/bin/pip uninstall --yes onnxruntime \
    && /venv/bin/pip install --no-cache-dir --no-deps onnxruntime-gpu==1.31.1 \
    && /venv/bin/pip install --no-cache-dir 'onnxruntime-gpu[cuda,cudnn]==1.31.1'

FROM python:3.11-slim-bookworm

COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that a cluster can tell that it is not root. Only /tmp is written to.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["clipduet"]
CMD ["serve", "--bundle", "/bundle", "--host", "0.0.0.0", "--port", "8000", "--backend", "onnxruntime-cuda"]
