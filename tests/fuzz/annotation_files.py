"""Readers of annotation, of results and of runs: text and JSON in the layouts of many data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from dcfnet.cli.targets.detections import read_detections
from dcfnet.cli.targets.starts import read_starts
from dcfnet_evaluation.bench.sheet import read_bench
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.passes.published import read_results, read_table
from dcfnet_evaluation.passes.records import Conditions, Evaluation, Record, Store, read_memory
from dcfnet_evaluation.scores.sheet import read_sheet
from dcfnet_evaluation.sequences import AnnotatedSequence, ImageFrames, read_boxes
from dcfnet_evaluation.vot.session import read_image, read_region
from dcfnet_evaluation.vot.trax import Message

from tests.fuzz.damage import Reader

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
SCORES, BENCH = RESULTS / "otb_deep_2026-11-29.json", RESULTS / "bench_2026-11-25.json"
BOXES = b"10,20,30,40\n11\t21 30;40\nNaN,NaN,NaN,NaN\n" * 3
SQUARES = b"10,20,30,40\n11,21,30,40\n12,22,30,40\n"
VOT = b"10,20,30,40\n10,40,20,10,50,20,40,50\nm5,6,7,8,0,56\n"
XML = (
    b'<?xml version="1.0"?><annotation><object><trackid>0</trackid><bndbox><xmax>9</xmax><xmin>1</xmin>'
    b"<ymax>9</ymax><ymin>1</ymin></bndbox></object></annotation>"
)
CSV = b"frame,time,x,y,w,h\n0,0.0,10,20,30,40\n1,0.1,11,20,30,40\n2,0.2,12,20,30,40\n"
TRAX = b'@@TRAX:initialize "image:2;1;rgb;AAECAwQF" "10,40,20,10,50,20,40,50" "trax.image=memory"\n'


def _frames(folder: str, name: str = "{:08d}.jpg") -> dict[str, bytes]:
    """Three frames; a data set that is opened reads none."""
    return {f"{folder}/{name.format(number)}": b"" for number in (1, 2, 3)}


def layout(name: str, file: str, content: bytes, beside: Mapping[str, bytes], subset: str | None = None) -> Reader:
    """A reader of all sequences of a data set, one of whose files is damaged. Paths start at its root."""
    root = f"{name}-{file.replace('/', '-').replace('.', '-')}"

    def read(path: Path) -> list[AnnotatedSequence]:
        return open_dataset(name, path.parents[len(Path(file).parts) - 1], subset=subset)

    return Reader(
        f"{root}/{file}", lambda: content, read, {f"{root}/{path}": bytes_ for path, bytes_ in beside.items()}
    )


def _layouts() -> list[Reader]:
    vot = _frames("ball") | {"ball/groundtruth.txt": VOT}
    got = _frames("a") | {"a/groundtruth.txt": SQUARES}
    lasot = _frames("cat/cat-1/img") | {"cat/cat-1/groundtruth.txt": SQUARES}
    nus = _frames("a") | {"a/groundtruth.txt": b"1 2 30 40\n1 2 31 41\n1 2 31 41\n"}
    temple = _frames("Ball/img", "{:04d}.jpg") | {"Ball/Ball_gt.txt": SQUARES}
    uav = _frames("data_seq/UAV123/bike1", "{:06d}.jpg") | {"anno/UAV123/bike1.txt": SQUARES}
    clip = "VID/train/ILSVRC2015_train_00001000"
    vid = {f"Data/{clip}/{number:06d}.JPEG": b"" for number in (0, 1)}
    vid |= {f"Annotations/{clip}/{number:06d}.xml": XML for number in (0, 1)}
    return [
        layout("otb", "Ball/groundtruth_rect.txt", SQUARES, _frames("Ball/img", "{:04d}.jpg")),
        layout("vot", "ball/groundtruth.txt", VOT, vot),
        layout("vot", "ball/sequence", b"name=ball\nchannels.color=%08d.jpg\nfps=30\n", vot),
        layout("vot", "ball/occlusion.tag", b"0\n1\n0\n", vot),
        layout("vot", "list.txt", b"ball\n", vot),
        layout("got10k", "a/groundtruth.txt", SQUARES, got),
        layout("got10k", "a/absence.label", b"0\n1\n0\n", got),
        layout("got10k", "a/cover.label", b"8\n0\n8\n", got),
        layout("lasot", "cat/cat-1/groundtruth.txt", SQUARES, lasot),
        layout("lasot", "cat/cat-1/full_occlusion.txt", b"0,1,0\n", lasot),
        layout("nus-pro", "a/groundtruth.txt", nus["a/groundtruth.txt"], nus),
        layout("nus-pro", "a/datainfo.txt", b"640\n480\n3\n", nus),
        layout("nus-pro", "a/occlusion.txt", b"0\n1\n2\n", nus),
        layout("tc128", "Ball/Ball_gt.txt", SQUARES, temple),
        layout("tc128", "Ball/Ball_frames.txt", b"1,3\n", temple),
        layout("trackingnet", "TRAIN_0/anno/x.txt", SQUARES, _frames("TRAIN_0/frames/x", "{:d}.jpg")),
        layout("uav123", "anno/UAV123/bike1.txt", SQUARES, uav),
        layout("uav123", "anno/UAV123/att/bike1.txt", b"0,1,0,0,0,0,0,0,0,0,0,1\n", uav),
        layout("plain", "boxes.csv", CSV, _frames(".")),
        layout("ilsvrc_vid", f"Annotations/{clip}/000000.xml", XML, vid, "train"),
    ]


def _published() -> Reader:
    sequence = AnnotatedSequence("a", ImageFrames((Path("1"), Path("2"), Path("3"))), np.ones((3, 4)))
    return Reader("published/a.txt", lambda: SQUARES, lambda file: read_results(file.parent, [sequence]))


def _record() -> tuple[bytes, bytes]:
    """The conditions of a run, and the passes of its only tracker over its only sequence."""
    description = {"kind": "dcfnet", "weights": "a"}
    conditions = Conditions("otb", "data", "c", {"a": 3}, "ope", None, (), {"t": description})
    one = Pass(0, np.ones((3, 4)), ("tracked",) * 3, np.ones(3), np.zeros(3), confidence=np.ones(3))
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.begin(conditions, {"cpu": "x"})
        store.save("ope", "t", "a", Record((one,), True))
        return (store.folder / "run.json").read_bytes(), store.file("ope", "t", "a").read_bytes()


RUN, PASSES = _record()


def _trax(file: Path) -> None:
    """What a session does with a message, without a tracker."""
    for line in file.read_bytes().splitlines():
        message = Message.parse(line)
        if message is not None and len(message.arguments) == 2:
            read_image(message.arguments[0])
            read_region(message.arguments[1])


def _text(content: bytes) -> Callable[[], bytes]:
    return lambda: content


READERS = (
    Reader("starts.csv", _text(b"id,x,y,w,h,frame\n1,10,20,30,40,0\n2,11,21,30,40,5\n"), read_starts),
    Reader(
        "det.txt", _text(b"1,-1,10,20,30,40,0.9,-1,-1,-1\n2,-1,10,20,30,40,0.9\n"), lambda f: read_detections(f, 0.5)
    ),
    Reader("boxes.txt", _text(BOXES), read_boxes),
    Reader("table.csv", _text(b"tracker,sequence,auc,prec20\na,b,0.5,0.6\nc,d,nan,nan\n"), read_table),
    *_layouts(),
    _published(),
    Reader("run/run.json", _text(RUN), lambda file: Evaluation.load(file.parent), {"run/ope/t/a.json": PASSES}),
    Reader("run2/ope/t/a.json", _text(PASSES), lambda file: Evaluation.load(file.parents[2]), {"run2/run.json": RUN}),
    Reader("run3/memory.json", _text(json.dumps({"t": 5}).encode()), lambda file: read_memory(file.parent)),
    Reader("scores.json", SCORES.read_bytes, read_sheet),
    Reader("bench.json", BENCH.read_bytes, read_bench),
    Reader("messages.trax", _text(TRAX), _trax),
)
