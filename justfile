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

# Scores the shipped weights on sequences in OTB's layout: eval FOLDER.
eval *args: (_install "cpu")
    @{{bin}}/dcfnet-eval otb "$@"

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
