set positional-arguments

bin := ".venv/bin"

# Lists the recipes.
default:
    @{{bin}}/just --list

# Tracks a rendered clip, or your own: demo VIDEO X,Y,W,H. Writes out/demo.mp4 and out/demo.csv.
demo *args: (_install "cpu")
    @{{bin}}/python -m dcfnet_evaluation.demo "$@"

# The whole check, as CI runs it: style, types, tests. It writes nothing into the tree.
test *args: (_install "dev")
    {{bin}}/ruff format --check .
    {{bin}}/ruff check .
    {{bin}}/mypy
    {{bin}}/pytest "$@"

alias check := test

# Formats the code and mends what ruff can mend.
fmt: (_install "dev")
    {{bin}}/ruff format .
    {{bin}}/ruff check --fix .

# Scores the shipped weights on sequences in OTB's layout, with a report: eval FOLDER.
eval *args: (_install "cpu,evaluation")
    @{{bin}}/dcfnet-eval otb "$@"

# The same beside OpenCV's trackers, in .venv-peers, since they come with another wheel of OpenCV: eval-peers FOLDER.
eval-peers *args: _peers
    @.venv-peers/bin/python -m dcfnet_evaluation otb "$@" --peers

# Times the presets beside OpenCV's trackers, all in turns: bench [FOLDER]; docs/benchmark.md.
bench *args: _peers
    @.venv-peers/bin/python -m dcfnet_evaluation.bench run "$@" --peers

# Speed against accuracy, of the presets and of OpenCV's trackers: pareto FOLDER [PAGE]. Writes PAGE and two plots.
pareto dataset page="docs/pareto.md": _peers
    #!/bin/sh
    set -eu
    dcfnet() { module="dcfnet_evaluation$1"; shift; .venv-peers/bin/python -m "$module" "$@" || [ $? -eq 3 ]; }  # 3: done, though some tracker failed
    dcfnet "" otb "$1" --preset accurate,balanced,fast --peers --rates none --fresh --output out/pareto/scores
    dcfnet .bench run "$1" --peers --repeats 1 --targets 1,8 --output out/pareto/bench
    dcfnet .bench pareto out/pareto/scores out/pareto/bench --output "$2"

# Makes .venv-vot with the VOT toolkit, which is GPL and run as a program, never imported.
vot:
    #!/bin/sh
    set -eu
    [ -x .venv-vot/bin/python ] || {{bin}}/python -m venv .venv-vot
    .venv-vot/bin/python -m pip install --quiet --disable-pip-version-check --requirement evaluation/vot-requirements.txt

# All that needs a GPU, tests and times: gpu [12], for CUDA 12. Writes benchmarks/results/gpu_DATE.json.
gpu cuda="13":
    #!/bin/sh
    set -eu
    # Of its own, so that in .venv "auto" stays the CPU.
    [ -x .venv-gpu/bin/python ] || {{bin}}/python -m venv .venv-gpu
    pip() { .venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
    .venv-gpu/bin/python -m pip uninstall --quiet --yes onnxruntime  # owns the same module; an older .venv-gpu had it
    pip --constraint constraints.txt --editable ".[cuda{{cuda}},export,energy]" pytest "onnxruntime-gpu[cudnn]"
    pip --constraint constraints.txt --editable ".[rtx]" || echo "without TensorRT-RTX: its tests are skipped" >&2
    exec .venv-gpu/bin/python benchmarks/gpu_report.py

# The tests that need the programs of others: OpenCV's contributed trackers, and the VOT toolkit.
test-others: (_install "dev") _peers vot
    .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pytest hypothesis psutil
    .venv-peers/bin/python -m pytest tests/evaluation/test_peers.py
    {{bin}}/pytest tests/evaluation/test_vot_toolkit.py

# opencv-contrib-python stands in for opencv-python, which it holds: never both, hence no dependencies.
_peers:
    #!/bin/sh
    set -eu
    stamp=".venv-peers/.installed"
    wanted="$(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing OpenCV's contributed trackers into .venv-peers" >&2
        [ -x .venv-peers/bin/python ] || {{bin}}/python -m venv .venv-peers
        pip() { .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
        pip --constraint constraints.txt numpy typer onnxruntime matplotlib jinja2 pillow opencv-contrib-python
        pip --no-deps --editable .
        echo "$wanted" > "$stamp"
    fi

# Installs the project and one extra, in place, at the pinned versions; does nothing where that is done.
_install extra:
    #!/bin/sh
    set -eu
    stamp="{{bin}}/../.installed-{{extra}}"
    wanted="$(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing dcfnet[{{extra}}] into .venv" >&2
        {{bin}}/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[{{extra}}]"
        echo "$wanted" > "$stamp"
    fi
