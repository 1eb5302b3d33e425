# `clipduet serve` on a CPU, with ONNX Runtime and OpenVINO. In the checkout:
#
#   docker build -f docker/cpu.Dockerfile -t clipduet:cpu .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -p 127.0.0.1:8000:8000 -v "$PWD/bundles/mine:/bundle:ro" clipduet:cpu
#
# Options of `clipduet serve` follow the name of the image and replace those of CMD.
FROM python:3.11-slim-bookworm AS build

WORKDIR /source
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY infer infer
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir -c constraints.txt '.[openvino,serve]'

FROM python:3.11-slim-bookworm

COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that a cluster can tell that it is not root. Only /tmp is written to.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["clipduet"]
CMD ["serve", "--bundle", "/bundle", "--host", "0.0.0.0", "--port", "8000"]
