"""Coverage-guided fuzzing of all readers of files: python -m benchmarks.fuzz_coverage SECONDS [FILE].

Run it in the root of the repository. It needs `pip install atheris`, which CI does not install.

Each reader of tests/fuzz/ gets SECONDS in a process of its own. It starts from a valid file; inputs that reach new code
are kept and changed further. An error that is not documented, a crash, a read of more than 20 s or 2 GB of memory ends
the reader's run, and its input stays in out/fuzz/. Prints a line per reader, and writes the numbers to FILE as JSON.
Exit code 1 if a reader failed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ["dcfnet", "dcfnet_evaluation", "dcfnet_train", "dcfnet_export", "dcfnet_calibration"]
FAILURES = Path("out/fuzz")
LIMITS = ("-timeout=20", "-rss_limit_mb=2048")
CHILD = "--reader"


def fuzz(number: int, arguments: list[str]) -> None:
    """Runs libFuzzer on one reader, in this process. arguments: of libFuzzer."""
    import atheris

    with atheris.instrument_imports(include=PACKAGES):
        from tests.fuzz.damage import ERRORS
        from tests.fuzz.readers import READERS
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    reader = READERS[number]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        content = reader.content()
        (corpus / "valid").write_bytes(content)

        def read(data: bytes) -> None:
            file = reader.write(Path(folder) / "files", data)
            try:
                reader.read(file)
            except ERRORS:
                return

        atheris.Setup([sys.argv[0], str(corpus), f"-max_len={max(4 * len(content), 4096)}", *arguments], read)
        atheris.Fuzz()


def run(number: int, name: str, seconds: int) -> dict[str, object]:
    """The numbers of one reader. failed: the error, or None; the end of the output is printed too."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-artifact_prefix={FAILURES}/{number}-", "-print_final_stats=1", *LIMITS]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.fuzz_coverage", CHILD, str(number), *limits]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + 600)
    executed = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    covered = re.findall(r"\bcov: (\d+)", done.stderr)
    failed = None
    if done.returncode:
        output = done.stdout + done.stderr
        print("\n".join(output.splitlines()[-25:]), flush=True)
        error = re.search(r"Uncaught Python exception: ===\s+(.*)", output)
        failed = error[1] if error else f"exit code {done.returncode}"
    return {
        "reader": name,
        "inputs": int(executed[1]) if executed else 0,
        "covered": int(covered[-1]) if covered else 0,
        "failed": failed,
    }


def main(seconds: int, file: Path | None) -> int:
    from tests.fuzz.readers import READERS

    found = []
    for number, reader in enumerate(READERS):
        found.append(run(number, reader.name, seconds))
        print("{reader}: {inputs} inputs, {covered} branches".format(**found[-1]), flush=True)
    if file is not None:
        file.write_text(json.dumps({"seconds": seconds, "readers": found}, indent=1) + "\n")
    print(f"{sum(int(str(each['inputs'])) for each in found)} inputs for {len(found)} readers")
    return int(any(each["failed"] for each in found))


if __name__ == "__main__":
    if sys.argv[1] == CHILD:
        fuzz(int(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
