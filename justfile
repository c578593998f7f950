set positional-arguments

root := justfile_directory()
bin := quote(root / ".venv/bin")  # absolute: recipes with [no-cd] run in the folder of the caller

# Lists the recipes.
default:
    @{{bin}}/just --list

# Tracks a target in a rendered clip, or in your video: demo VIDEO X,Y,W,H. Writes out/demo.mp4 and out/demo.csv.
[no-cd]
demo *args: (_install "cpu")
    @{{bin}}/python -m dcfnet_evaluation.demo "$@"

# pytest: a process per core, up to 4 because of the memory. Each computes on one thread: with more threads than cores,
# threads wait for each other.

# Runs the checks that CI runs: style, imports, types, tests. Does not change the source files.
test *args: (_install "dev")
    {{bin}}/ruff format --check .
    {{bin}}/ruff check .
    {{bin}}/lint-imports
    {{bin}}/mypy --num-workers=2
    OMP_NUM_THREADS=1 {{bin}}/pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal "$@"

alias check := test

# Formats the code, and applies ruff's automatic fixes.
fmt: (_install "dev")
    {{bin}}/ruff format .
    {{bin}}/ruff check --fix .

# Builds the documentation site into out/site, and stops at a bad link or a page that is not in mkdocs.yml.
docs: (_install "docs")
    NO_MKDOCS_2_WARNING=1 {{bin}}/mkdocs build --strict --quiet

# Builds wheel and sdist, and uses them in clean environments of Python 3.10 to 3.13: release-check [--python 3.12].
release-check *args: _release
    .venv-release/bin/python release/check.py "$@"

# Writes docs/licences.md: the licences of all dependencies that are installed.
licences: _release (_install "dev")
    .venv-release/bin/python release/licences.py {{bin}}/python > docs/licences.md.new
    mv docs/licences.md.new docs/licences.md

# The tools of a release have an environment of their own: they must not change what is tested.
_release:
    #!/bin/sh
    set -eu
    stamp=".venv-release/.installed"
    current="$(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$current" ]; then
        [ -x .venv-release/bin/python ] || {{bin}}/python -m venv .venv-release
        tools="$({{bin}}/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["release"])')"
        .venv-release/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $tools
        echo "$current" > "$stamp"
    fi

# Scores the default model on sequences in OTB's layout, and writes a report: eval FOLDER.
[no-cd]
eval *args: (_install "cpu,evaluation")
    @{{bin}}/dcfnet-eval otb "$@"

# As eval, with OpenCV's trackers: eval-peers FOLDER. Uses .venv-peers, because they need another wheel of OpenCV.
[no-cd]
eval-peers *args: _peers
    @"{{root}}/.venv-peers/bin/python" -m dcfnet_evaluation otb "$@" --peers

# Times the presets and OpenCV's trackers, alternately: bench [FOLDER]. See docs/benchmark.md.
[no-cd]
bench *args: _peers
    @"{{root}}/.venv-peers/bin/python" -m dcfnet_evaluation.bench run "$@" --peers

# Compares speed and accuracy of the presets and OpenCV's trackers: pareto FOLDER [PAGE]. Writes PAGE and two plots.
pareto dataset page="docs/pareto.md": _peers
    #!/bin/sh
    set -eu
    dcfnet() { module="dcfnet_evaluation$1"; shift; .venv-peers/bin/python -m "$module" "$@" || [ $? -eq 3 ]; }  # exit code 3: done, but a tracker failed somewhere
    dcfnet "" otb "$1" --preset accurate,balanced,fast --peers --rates none --fresh --output out/pareto/scores
    dcfnet .bench run "$1" --peers --repeats 1 --targets 1,8 --output out/pareto/bench
    dcfnet .bench pareto out/pareto/scores out/pareto/bench --output "$2"

# Installs the VOT toolkit into .venv-vot. It is GPL, so it is run as a program and never imported.
vot:
    #!/bin/sh
    set -eu
    [ -x .venv-vot/bin/python ] || {{bin}}/python -m venv .venv-vot
    .venv-vot/bin/python -m pip install --quiet --disable-pip-version-check --requirement evaluation/vot-requirements.txt

# Runs all tests and times that need a GPU: gpu, or gpu 12 [OPTIONS] for CUDA 12. Writes benchmarks/results/gpu_DATE.json.
gpu cuda="13" *options:
    #!/bin/sh
    set -eu
    # A separate environment: in .venv device="auto" stays the CPU.
    [ -x .venv-gpu/bin/python ] || {{bin}}/python -m venv .venv-gpu
    pip() { .venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
    .venv-gpu/bin/python -m pip uninstall --quiet --yes onnxruntime  # installs the same module; an older .venv-gpu has it
    pip --constraint constraints.txt --editable ".[cuda{{cuda}},export,energy]" pytest "onnxruntime-gpu[cudnn]"
    pip --constraint constraints.txt --editable ".[rtx]" || echo "gpu: TensorRT-RTX cannot be installed; its tests are skipped" >&2
    [ $# -eq 0 ] || shift
    exec .venv-gpu/bin/python benchmarks/gpu_report.py "$@"

# Runs the tests that need other programs, at the same time: OpenCV's contributed trackers, the VOT toolkit, ROS 2, CuPy.
[parallel]
test-others: _test-peers _test-vot _test-ros test-cupy

# Tests the CUDA code with CuPy itself, for CUDA 12 and 13, without a GPU: imports, compilation, errors.
test-cupy *args: _cupy12 _cupy13
    #!/bin/sh
    set -eu
    for cuda in 12 13; do
        [ ! -f .venv-cupy$cuda/.installed ] || .venv-cupy$cuda/bin/python -m pytest tests/with_cupy "$@"
    done

# Runs the ROS 2 node in a process of its own, with real messages, in .venv-ros: test-ros. See docs/ros2.md.
test-ros *args:
    integrations/ros2/environment.sh {{bin}}/python
    OMP_NUM_THREADS=1 .venv-ros/bin/python -m pytest -W "ignore:module:DeprecationWarning" tests/ros "$@"

# As test-ros, but skipped with a reason where ROS 2 cannot be installed.
_test-ros: _ros
    #!/bin/sh
    if [ -f .venv-ros/.installed ]; then exec ./justw test-ros; fi
    echo "test-ros: skipped"

_ros:
    integrations/ros2/environment.sh {{bin}}/python || [ $? -eq 3 ]

_test-peers: _peers-tests
    .venv-peers/bin/python -m pytest tests/evaluation/test_peers.py

_test-vot: (_install "dev") vot
    {{bin}}/pytest tests/evaluation/test_vot_toolkit.py

# Makes the environments of test and test-others at the same time, because an install uses one core.
[parallel]
environments: (_install "dev") _peers-tests vot _ros _cupy12 _cupy13

# With cuFFT, 370 MB on the disk, for one of both: the module of CuPy is the same.
_cupy12: (_cupy "12" "nvidia-cuda-nvrtc-cu12 nvidia-cufft-cu12")

_cupy13: (_cupy "13" "nvidia-cuda-nvrtc")

# Two packages of CuPy install the same module. Most of CUDA's libraries are not installed: all of them need 3 GB.
_cupy cuda libraries:
    #!/bin/sh
    set -eu
    [ "$(uname -sm)" = "Linux x86_64" ] || { echo "test-cupy: skipped, this is not Linux on x86-64" >&2; exit 0; }
    venv=".venv-cupy{{cuda}}" stamp=".venv-cupy{{cuda}}/.installed"
    current="$(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$current" ]; then
        echo "installing CuPy for CUDA {{cuda}} into $venv" >&2
        [ -x "$venv/bin/python" ] || {{bin}}/python -m venv "$venv"
        pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
        pip --constraint constraints.txt cupy-cuda{{cuda}}x {{libraries}} numpy opencv-python typer onnxruntime pytest
        pip --no-deps --editable .
        echo "$current" > "$stamp"
    fi

_peers-tests: _peers
    .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pytest hypothesis psutil

# opencv-contrib-python includes opencv-python, and both install the same module. Hence --no-deps for this project.
_peers:
    #!/bin/sh
    set -eu
    stamp=".venv-peers/.installed"
    current="$(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$current" ]; then
        echo "installing OpenCV's contributed trackers into .venv-peers" >&2
        [ -x .venv-peers/bin/python ] || {{bin}}/python -m venv .venv-peers
        pip() { .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
        pip --constraint constraints.txt numpy typer onnxruntime matplotlib jinja2 pillow opencv-contrib-python
        pip --no-deps --editable .
        echo "$current" > "$stamp"
    fi

# Installs the project and one extra in place, at the pinned versions. Does nothing if that is up to date.
_install extra:
    #!/bin/sh
    set -eu
    stamp={{bin}}/../.installed-{{extra}}
    current="$(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$current" ]; then
        echo "installing dcfnet[{{extra}}] into .venv" >&2
        {{bin}}/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[{{extra}}]"
        echo "$current" > "$stamp"
    fi
