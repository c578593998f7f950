# Runs the demo, without a display:
#   docker build --tag dcfnet .
#   docker run --rm --volume "$PWD/out:/tracker/out" dcfnet
FROM python:3.13-slim
WORKDIR /build
COPY pyproject.toml README.md LICENSE constraints.txt requirements-headless.txt ./
COPY runtime runtime
COPY evaluation evaluation
COPY train train
COPY export export
COPY calibration calibration
RUN pip install --no-cache-dir --constraint constraints.txt --requirement requirements-headless.txt
RUN pip install --no-cache-dir --no-deps .
RUN useradd --create-home --home-dir /tracker tracker
USER tracker
WORKDIR /tracker
CMD ["python", "-m", "dcfnet_evaluation.demo"]
