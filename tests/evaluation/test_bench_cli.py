"""The dcfnet-bench command: its file, the comparison and the Pareto front."""

from __future__ import annotations

import getpass
import json
import math
import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest
from dcfnet_evaluation.bench.cli import app
from dcfnet_evaluation.bench.comparison import compare
from dcfnet_evaluation.bench.pareto import front, join_results, markdown_table
from dcfnet_evaluation.bench.sheet import Bench, BenchError, bench_machine, read_bench, write_bench
from dcfnet_evaluation.bench.times.figures import Cost, Figures, Interval, SequenceFigures, Spread
from dcfnet_evaluation.scores.sheet import write_sheet
from typer.testing import CliRunner

from tests.evaluation.test_scores import sheet_of

STILL = ("--add", "still=tests.evaluation.doubles:Identity")
QUICK = (
    "--size",
    "160x120",
    "--warm-up",
    "1",
    "--repeats",
    "1",
    "--targets",
    "none",
    "--cold-starts",
    "0",
    "--no-memory",
)


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def spread_of(p50: float, p99: float | None = None) -> Spread:
    p99 = p99 or 1.2 * p50
    return Spread(100, p50, p50, p50, p99, p99, p99, p99 / p50)


def figures_at(times: list[float], p99: float | None = None, crop: float = 1.0) -> Figures:
    """Figures of a tracker; times: ms per update on s0, s1, ...."""
    by_sequence = {
        f"s{i}": SequenceFigures(
            1000 / ms, 5.0, spread_of(ms, p99), {"lesson": spread_of(ms)}, {"crop": crop, "idle": 0.0}, 0
        )
        for i, ms in enumerate(times)
    }
    middle = sorted(times)[len(times) // 2]
    cost = Cost(1, middle, middle, Interval(1, 1, 1), 0.0)
    ratio = Interval(2.5, 2.0, 3.0)
    kinds = {"lesson": spread_of(middle)}
    return Figures(
        1000 / middle, 5.0, spread_of(middle), kinds, {"crop": crop}, ratio, 10**8, 0.7, (cost,), by_sequence
    )


def bench_of(**times: list[float]) -> Bench:
    figures = {name: figures_at(milliseconds) for name, milliseconds in times.items()}
    frames = {f"s{i}": 50 for i in range(len(next(iter(times.values()))))}
    run_settings = {"layout": "otb", "dataset": "OTB", "size": [640, 360], "frames": frames, "warm_up": 10}
    machine = {"processor": "P", "cores": 2, "opencv_threads": 2, "threads": {}}
    trackers = {name: {"kind": "opencv" if name.isupper() else "dcfnet"} for name in times}
    run_settings |= {"targets": [1], "repeats": 3}
    return Bench("2026-01-02T03:04:05+00:00", "dcfnet-bench run OTB", machine, run_settings, trackers, "CSRT", figures)


def test_run_prints_and_writes_every_figure(dataset: Path, tmp_path: Path) -> None:
    args = ("--size", "160x120", "--warm-up", 2, "--repeats", 2, "--targets", "1,2", "--cold-starts", 1, "--limit", 8)
    code, text = run("run", dataset, "--preset", "fast", *STILL, "--reference", "still", *args, "--output", tmp_path)
    assert code == 0, text
    bench = read_bench(tmp_path)
    assert list(bench.figures) == ["dcfnet", "still"]
    ours = bench.figures["dcfnet"]
    assert ours.spread.updates == 2 * 2 * (8 - 1 - 2)
    assert sum(spread.updates for spread in ours.kinds.values()) == ours.spread.updates
    assert ours.spread.p50 <= ours.spread.p90 <= ours.spread.p99 <= ours.spread.p999 <= ours.spread.max
    assert ours.stages["backbone"] > 0
    assert ours.ratio is not None
    assert ours.ratio.median < 1
    assert [cost.targets for cost in ours.targets] == [1, 2]
    assert ours.memory is not None
    assert ours.memory > 20e6
    assert ours.cold_start is not None
    assert ours.cold_start > 0
    assert set(ours.sequences) == {"Alpha", "Beta"}
    assert bench.run["frames"] == {"Alpha": 8, "Beta": 8}
    assert (bench.run["size"], bench.run["warm_up"]) == ([160, 120], 2)
    for message in (
        "dcfnet",
        "still",
        "x still",
        "p99.9",
        "cold start",
        "ms/target",
        "filter update",
        "backbone",
        "bench.json",
    ):
        assert message in text.replace("\n", "")


def test_rendered_clips_are_used_without_a_dataset(tmp_path: Path) -> None:
    code, text = run(
        "run", "--preset", "accurate,fast", "--sequences", "clip0", "--limit", 5, *QUICK, "--output", tmp_path
    )
    assert code == 0, text
    bench = read_bench(tmp_path)
    assert list(bench.figures) == ["dcfnet-accurate", "dcfnet-fast"]
    assert bench.run["frames"] == {"clip0": 5}
    assert bench.reference is None
    assert bench.figures["dcfnet-fast"].ratio is None


def test_all_presets_run_by_default(tmp_path: Path) -> None:
    code, text = run("run", "--sequences", "clip1", "--limit", 4, *QUICK, "--no-stages", "--output", tmp_path)
    assert code == 0, text
    assert list(read_bench(tmp_path).figures) == ["dcfnet-accurate", "dcfnet-balanced", "dcfnet-fast"]
    paper = ("--model", "dcfnet", "--config", "paper")
    code, text = run("run", *paper, "--sequences", "clip1", "--limit", 4, *QUICK, "--output", tmp_path)
    assert code == 0, text
    assert list(read_bench(tmp_path).figures) == ["dcfnet"]


def test_the_file_has_no_user_names_host_names_or_paths(dataset: Path, tmp_path: Path) -> None:
    model = Path(__file__).parents[2] / "runtime" / "dcfnet" / "model" / "shipped" / "dcfnet.onnx"
    args = ("--model", model, "--preset", "fast", "--limit", 4, *STILL, *QUICK)
    code, text = run("run", dataset, *args, "--output", tmp_path / "out")
    assert code == 0, text
    written = (tmp_path / "out" / "bench.json").read_text()
    names = [str(Path.home()), str(tmp_path), str(dataset), str(model.parent), platform.node(), getpass.getuser()]
    assert not [name for name in names if len(name) > 3 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", written)]
    command = json.loads(written)["command"]
    assert command.startswith(f"dcfnet-bench run {dataset.name} ")
    assert "--model dcfnet.onnx" in command
    assert "--preset fast" in command
    assert "--no-memory" in command
    assert "--repeats 1" in command
    assert "--output out" in command
    assert "--cold-starts 0" in command
    assert "--layout" not in command  # the user did not give it


def test_the_machine_description_has_what_affects_speed() -> None:
    machine = bench_machine()
    assert {"processor", "cores", "opencv_threads", "numpy", "opencv", "dcfnet"} <= machine.keys()


def test_a_busy_machine_gives_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("run", "--preset", "fast", "--sequences", "clip0", "--limit", 4, *QUICK, "--output", tmp_path)
    for load, busy in ((0.0, False), (1000.0, True)):
        monkeypatch.setattr("dcfnet_evaluation.bench.sheet.load", lambda load=load: load)
        code, text = run(*args)
        assert code == 0
        assert ("the machine is busy (load 1000.0" in text) is busy
        assert read_bench(tmp_path).machine["load"] == load


def test_an_interrupted_run_keeps_the_old_file(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("run", dataset, "--preset", "fast", "--limit", 4, *QUICK, "--output", tmp_path)
    assert run(*args)[0] == 0
    before = (tmp_path / "bench.json").read_bytes()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dcfnet_evaluation.bench.times.measure.figures_of", stopped)
        assert run(*args)[0] != 0
    with monkeypatch.context() as patched:
        patched.setattr("dcfnet.io.files.os.replace", stopped)
        assert run(*args)[0] != 0
    assert (tmp_path / "bench.json").read_bytes() == before


def test_a_failing_tracker_is_reported_with_exit_code_3(dataset: Path, tmp_path: Path) -> None:
    added = ("--add", "bad=tests.evaluation.doubles:Failing", "--add", "dead=tests.evaluation.doubles:NeverStarts")
    code, text = run("run", dataset, "--preset", "fast", *added, *QUICK, "--output", tmp_path)
    assert code == 3
    assert "bad: frames without a usable box: Alpha (10), Beta (10)" in text
    bench = read_bench(tmp_path)
    assert bench.figures["dead"].spread.updates == 0
    assert bench.figures["dead"].fps == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--size", "640"], "for example 640x360, or native"),
        (["--targets", "2,4"], "must be none, or whole numbers of at least 1 that include 1"),
        (["--targets", "many"], "whole numbers"),
        (["--warm-up", "11"], "use at most --warm-up 10"),
        (["--reference", "CSRT"], "--reference CSRT: must be one of dcfnet-accurate"),
        (["--preset", "quick"], "--preset quick: "),
        (["--preset", "fast", "--config", "paper"], "give one"),
        (["--engine", "abacus"], "--engine abacus: must be one of auto"),
        (["--sequences", "Gamma"], "no sequence Gamma; choose from Alpha, Beta"),
        (["--peer", "TLD"], "TLD"),
        (["--add", "mine"], "NAME=package.module:Class"),
        (
            ["--add", "dcfnet-fast=tests.evaluation.doubles:Identity"],
            "two trackers have the name dcfnet-fast; give each",
        ),
        (["--model", "none.onnx"], "none.onnx: no such file"),
        (["--set", "scales=2"], "odd"),
        (["--layout", "tape"], "no layout 'tape'; choose from otb"),
    ],
)
def test_an_invalid_option_gives_one_line_and_exit_code_1(
    dataset: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    quick = [entry for pair in zip(QUICK[::2], QUICK[1::2], strict=False) if pair[0] not in args for entry in pair]
    code, text = run("run", dataset, *quick, "--no-memory", *args, "--output", tmp_path / "out")
    assert code == 1
    assert message in " ".join(text.split())
    assert not (tmp_path / "out" / "bench.json").exists()


def test_rendered_clips_have_names_and_no_subsets(tmp_path: Path) -> None:
    assert (
        "--sequences Alpha: must be rendered clips: clip0, clip1"
        in run("run", "--sequences", "Alpha", "--output", tmp_path)[1]
    )
    assert "rendered clips have no subsets; give the folder" in run("run", "--subset", "otb50", "--output", tmp_path)[1]
    assert "--layout vot: rendered clips have no layout" in run("run", "--layout", "vot", "--output", tmp_path)[1]


def test_an_unwritable_output_is_found_before_any_tracker_runs(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, text = run("run", dataset, "--output", tmp_path / "file" / "out")
    assert code == 1
    assert "cannot be written" in text
    assert "give another --output" in text.replace("\n", " ")


def test_a_benchmark_is_read_back_unchanged(tmp_path: Path) -> None:
    bench = bench_of(ours=[10.0, 20.0], CSRT=[20.0, 30.0])
    write_bench(bench, tmp_path / "bench.json")
    again = read_bench(tmp_path)
    assert again.figures["ours"].sequences == bench.figures["ours"].sequences
    assert again.figures["ours"].ratio == bench.figures["ours"].ratio
    assert tuple(again.figures["ours"].targets) == tuple(bench.figures["ours"].targets)
    assert replace(again, figures={}) == replace(bench, figures={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a valid benchmark file"),
        ("[]", "not a valid benchmark file"),
        ('{"format": 1}', "not a valid benchmark file"),
        ('{"format": 1, "figures": {"a": {}}}', "not a valid benchmark file"),
        ('{"format": 99}', "has format 99; must be 1; run dcfnet-bench again"),
    ],
)
def test_an_invalid_benchmark_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(BenchError, match=rf"bench\.json: .*{message}"):
        read_bench(tmp_path)
    code, output = run("compare", tmp_path, tmp_path)
    assert code == 1
    assert "bench.json" in output


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_bench(replace(bench_of(ours=[10.0]), figures={"ours": figures_at([10.0], math.nan)}), tmp_path / "b.json")
    assert not list(tmp_path.iterdir())


def run_compare(tmp_path: Path, a: Bench, b: Bench, *args: object) -> tuple[int, str]:
    write_bench(a, tmp_path / "a.json")
    write_bench(b, tmp_path / "b.json")
    return run("compare", tmp_path / "a.json", tmp_path / "b.json", *args)


def test_compare_gives_exit_code_2_if_b_is_slower(tmp_path: Path) -> None:
    a = bench_of(ours=[10.0, 20.0, 30.0, 40.0], CSRT=[20.0] * 4)
    slower = bench_of(ours=[11.0, 22.0, 33.0, 44.0], CSRT=[30.0] * 4)
    code, text = run_compare(tmp_path, a, slower)
    assert code == 2
    assert "B is slower by more than 5%: ours" in text
    assert "1.100" in text
    assert run_compare(tmp_path, a, slower, "--gate", 0.2)[0] == 0
    assert run_compare(tmp_path, slower, a)[0] == 0
    assert run_compare(tmp_path, a, a)[0] == 0


def test_a_change_within_the_interval_passes_the_gate(tmp_path: Path) -> None:
    a = bench_of(ours=[10.0, 20.0, 30.0, 40.0])
    noisy = bench_of(ours=[9.5, 26.0, 29.0, 52.0])
    code, text = run_compare(tmp_path, a, noisy)
    assert code == 0, text


def test_the_gate_applies_to_opencv_only_if_named(tmp_path: Path) -> None:
    a, b = bench_of(ours=[10.0, 20.0], CSRT=[20.0, 20.0]), bench_of(ours=[10.0, 20.0], CSRT=[30.0, 30.0])
    assert run_compare(tmp_path, a, b)[0] == 0
    code, text = run_compare(tmp_path, a, b, "--tracker", "CSRT")
    assert code == 2
    assert "ours" not in text


def test_compare_pairs_by_sequence() -> None:
    a = bench_of(ours=[10.0, 100.0, 30.0])
    b = bench_of(ours=[20.0, 100.0, 15.0])
    (change,) = compare(a, b)
    assert change.ratios["p50"] == Interval(1.0, 0.5, 2.0)
    assert change.ratios["FPS"] == Interval(1.0, 0.5, 2.0)
    assert change.ratios["crop"] == Interval(1.0, 1.0, 1.0)
    assert "idle" not in change.ratios
    assert list(change.ratios) == ["p50", "p99", "FPS", "crop"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": [320, 180]}, "size [640, 360] in A, [320, 180] in B"),
        ({"frames": {"s0": 50, "s1": 9}}, "frames"),
        ({"frames": {"s0": 50, "s2": 50}}, "frames"),
        ({"warm_up": 0}, "warm_up 10 in A, 0 in B"),
        ({"targets": [1, 2]}, "targets [1] in A, [1, 2] in B"),
    ],
)
def test_compare_needs_equal_settings(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    a = bench_of(ours=[10.0, 20.0])
    code, text = run_compare(tmp_path, a, replace(a, run={**a.run, **changes}))
    assert code == 1
    assert "A and B have different settings" in " ".join(text.split())
    assert message in " ".join(text.split())
    assert run_compare(tmp_path, a, replace(a, run={**a.run, "repeats": 9}))[0] == 0


def test_runs_without_common_values_are_errors(tmp_path: Path) -> None:
    a = bench_of(ours=[10.0, 20.0])
    idle = replace(a, figures={"ours": replace(a.figures["ours"], sequences={})})
    for b, args, message in (
        (a, ("--tracker", "theirs"), "--tracker theirs: must be in both A and B; both have ours"),
        (bench_of(theirs=[10.0, 20.0]), (), "no tracker is in both"),
        (idle, (), "ours: has no updates in A or in B; leave it out"),
    ):
        code, text = run_compare(tmp_path, a, b, *args)
        assert code == 1
        assert message in " ".join(text.split())
    one = bench_of(ours=[10.0])
    assert "1 sequences; a paired interval needs at least 2" in run_compare(tmp_path, one, one)[1]


def test_compare_reports_unpaired_trackers_and_other_machines(tmp_path: Path) -> None:
    a = bench_of(ours=[10.0, 20.0], more=[10.0, 20.0])
    b = replace(bench_of(ours=[10.0, 20.0]), machine={"processor": "Q", "cores": 2, "opencv_threads": 2, "threads": {}})
    code, text = run_compare(tmp_path, a, b)
    assert code == 0
    assert "left out, because only A or only B has them: more" in " ".join(text.split())
    assert "not the same machine: processor P in A, Q in B" in " ".join(text.split())


def test_the_front_has_the_pairs_that_no_other_beats() -> None:
    assert front([(10, 0.9), (20, 0.8), (5, 0.8), (20, 0.7), (30, 0.1), (20, 0.8)]) == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert front([(1, 1)]) == [True]


def test_the_front_matches_a_sweep() -> None:
    """Oracle: from the fastest to the slowest, a pair is on the front if it is better than all before it."""
    import numpy as np

    pairs = [tuple(map(float, pair)) for pair in np.random.default_rng(3).random((60, 2))]
    best, expected = -1.0, set()
    for fps, auc in sorted(pairs, reverse=True):
        if auc > best:
            best = auc
            expected.add((fps, auc))
    assert {pair for pair, on in zip(pairs, front(pairs), strict=True) if on} == expected


def test_pareto_writes_a_table_and_two_plots(tmp_path: Path) -> None:
    scores = {"fine": [0.7, 0.7, 0.7], "fast": [0.6, 0.6, 0.6], "CSRT": [0.6, 0.6, 0.6], "published": [0.9, 0.9, 0.9]}
    write_sheet(sheet_of(**scores), tmp_path / "scores.json")
    bench = bench_of(fine=[10.0, 20.0, 10.0], fast=[2.0, 2.0, 2.0], CSRT=[30.0, 30.0, 30.0], unscored=[1.0, 1.0, 1.0])
    bench = replace(bench, machine={**bench.machine, "processor": "Abacus 9000"})
    write_bench(bench, tmp_path / "bench.json")
    page = tmp_path / "docs" / "front.md"
    code, text = run("pareto", tmp_path, tmp_path, "--output", page)
    assert code == 0, text
    assert "left out: published: only in the scores" in text
    assert "left out: unscored: only in the benchmark" in text
    written = page.read_text()
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert rows[0] == "| tracker | FPS | x CSRT | p50 ms | p99 ms | AUC | precision | MB | on the front |"
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| **fast**", "| **fine**", "| CSRT"]
    assert "| **fast** | 500.0 | 2.50 (2.00 to 3.00) | 2.00 | 2.40 | 0.600 |" in written
    assert rows[-1].endswith("| 100 | no |")
    assert "Abacus 9000, 2 cores" in written
    assert "`dcfnet-bench run OTB`" in written
    for name in ("front.svg", "front-dark.svg"):
        assert name in written
        assert (page.parent / name).read_text().startswith("<?xml")


def test_pareto_without_a_common_tracker_gives_one_line_and_exit_code_1(tmp_path: Path) -> None:
    write_sheet(sheet_of(theirs=[0.5, 0.6]), tmp_path / "scores.json")
    write_bench(bench_of(ours=[10.0, 20.0]), tmp_path / "bench.json")
    code, text = run("pareto", tmp_path, tmp_path, "--output", tmp_path / "page.md")
    assert code == 1
    assert "no tracker is in both: theirs in the scores, ours in the benchmark" in " ".join(text.split())
    assert not (tmp_path / "page.md").exists()
    assert run("pareto", tmp_path / "none.json", tmp_path)[0] == 1
    assert "must end with .md" in run("pareto", tmp_path, tmp_path, "--output", tmp_path / "front.svg")[1]


def test_a_table_without_a_reference_and_with_escaped_names() -> None:
    bench = bench_of(**{"a|b": [10.0, 20.0]})
    points, lacking = join_results(sheet_of(**{"a|b": [0.5, 0.6]}), bench)
    assert lacking == []
    table = markdown_table(points, None)
    assert "| **a\\|b** | 50.0 | 20.0 |" in table
    assert "CSRT" not in table


def test_labels_in_the_plot_do_not_overlap() -> None:
    from dcfnet_evaluation.bench.pareto import Dot
    from dcfnet_evaluation.bench.plot import pareto_plot

    raw = {
        "accurate": (62, 0.668),
        "balanced": (121, 0.665),
        "fast": (274, 0.655),
        "KCF": (506, 0.41),
        "CSRT": (47, 0.658),
    }
    raw |= {"MIL": (26, 0.39), "MOSSE": (4578, 0.36), "MedianFlow": (1758, 0.37), "near $one": (123, 0.664)}
    dots = [Dot(n, *pair, on) for (n, pair), on in zip(raw.items(), front(list(raw.values())), strict=True)]
    figure = pareto_plot(dots)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    labels = [text for text in axes.texts if text.get_text() in raw]
    assert {label.get_text() for label in labels} == set(raw)
    boxes = [label.get_window_extent() for label in labels]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    middles = axes.transData.transform([(dot.fps, dot.auc) for dot in dots])
    assert not [box for box in boxes for x, y in middles if box.contains(x, y)]
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
    assert pareto_plot(dots[:1])  # one tracker also gives a plot
