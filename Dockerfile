# syntax=docker/dockerfile:1
# docker build --target cpu -t pqa:cpu .     docker run --rm -p 8000:8000 --read-only --tmpfs /tmp pqa:cpu
# docker build --target gpu -t pqa:gpu .     docker run --rm -p 8000:8000 --read-only --tmpfs /tmp --gpus all pqa:gpu

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/pqa
COPY constraints.txt ./
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY pqa pqa
COPY service service
COPY training training
COPY export export

FROM build AS build-cpu
RUN /opt/pqa/bin/pip install -c constraints.txt ".[cpu,heic]"

FROM build AS build-gpu
# The CUDA libraries come as wheels beside ONNX Runtime; only the driver is the host's.
RUN /opt/pqa/bin/pip install -c constraints.txt ".[gpu,heic]" "onnxruntime-gpu[cuda,cudnn]"

FROM python:3.12-slim-bookworm AS runtime
RUN groupadd --gid 10001 pqa && useradd --uid 10001 --gid pqa --no-create-home --shell /usr/sbin/nologin pqa
ENV PATH=/opt/pqa/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PQA_HTTP_HOST=0.0.0.0
WORKDIR /home/pqa
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Inside the container the port is the default one, whatever it is published as.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
# The exec form: pqa is process 1 and gets SIGTERM itself.
ENTRYPOINT ["pqa"]
CMD ["serve"]

FROM runtime AS gpu
ENV PQA_PROVIDER=cuda
COPY --from=build-gpu /opt/pqa /opt/pqa

FROM runtime AS cpu
COPY --from=build-cpu /opt/pqa /opt/pqa
