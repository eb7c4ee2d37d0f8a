"""What the fuzz reads: for each reader, how to make good files, which of them to change, and how they are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from PIL import Image

from data_prepare.annotations import Annotations
from data_prepare.report.curve import read_curves
from data_prepare.scan.video import read_scan
from data_prepare.sources.folder import read_identities, read_include
from data_prepare.sources.hdtf import read_hdtf
from data_prepare.split_lists import PublishedLists
from data_prepare.worker import outdated, stored_stamps
from moda import checkpoint
from moda.animation import InferenceConfig
from moda.checkpoint import Checkpoint
from moda.cli.prepare import PrepareConfig
from moda.config import Config, load_yaml, parse
from moda.data.main_person import main_person
from moda.data.sequences import MotionSequences, SequenceConfig
from moda.data.speech import SpeechCrops, SpeechDataConfig
from moda.data.store import ClipStore
from moda.data.sync_windows import read_offsets
from moda.evaluation.ablation.plan import AblationConfig, plan
from moda.evaluation.config import WEIGHTS, read_config
from moda.evaluation.folders import find_generated, find_true
from moda.evaluation.report.printed import read_printed
from moda.files import write_json, write_npz, write_text
from moda.landmarks import EYES, LIPS, N_TORSO
from moda.locations import shipped
from moda.media.audio import read_audio
from moda.media.picture import read_picture
from moda.media.probe import probe
from moda.representation import HEAD, Motion
from moda.stages.registry import build_network, build_stage, load_network
from moda.training.config import TrainConfig
from tests.talking_clips import write_talking_clip


class Reader(NamedTuple):
    """make: good files in a folder. read: them. changes: endings of those that are changed. share: of the inputs."""

    name: str
    share: int
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    changes: tuple[str, ...] = ("",)


def _motion(folder: Path) -> None:
    shapes = ((len(LIPS), 3), (len(EYES), 3), (HEAD,), (N_TORSO, 3))
    Motion(*(np.random.default_rng(0).normal(size=(5, *shape)) for shape in shapes)).save(folder / "m.npz")


def _checkpoint(folder: Path) -> None:
    config = {"width": 1}
    network = build_network("faco", config)
    weights = {name: value.half() if value.ndim > 1 else value for name, value in network.state_dict().items()}
    tree = {"network": config, "trainer": {"steps": 3}}
    checkpoint.save(folder / "a.pt", Checkpoint("faco", tree, weights, trainer={"step": 1}, info={"step": 1}))


def _copied(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            write_text(folder / f"{Path(name).name}.yaml", _whole(name))

    return make


def _whole(name: str) -> str:
    import yaml

    return yaml.safe_dump(load_yaml(name))


def _train(folder: Path) -> None:
    config = parse(TrainConfig, load_yaml(folder / "faco.yaml"), source="faco.yaml")
    build_stage(config, source="faco.yaml")


def _parsed(cls: type[Config], name: str) -> Callable[[Path], object]:
    return lambda folder: parse(cls, load_yaml(folder / f"{name}.yaml"), source=name)


def _evaluation(folder: Path) -> None:
    names = (
        "true",
        "split",
        "output",
        "reference",
        "device",
        "jobs",
        "phonemes",
        "speech",
        "protocol",
        "handling",
        *WEIGHTS,
    )
    options = argparse.Namespace(
        config=folder / "default.yaml", set=[], generated=["b=c"], outputs=[], skip=["sync"], **dict.fromkeys(names)
    )
    config = read_config(options)
    config.animations()
    config.metric_settings()
    config.printed_table()


def _ablation(folder: Path) -> None:
    plan(parse(AblationConfig, load_yaml(folder / "debug.yaml"), source="debug.yaml"))


def _store(folder: Path) -> None:
    store = ClipStore.create(folder, 128)
    for number, name in enumerate(("a", "b", "c")):
        write_talking_clip(store, name, 40, seed=number)
        (folder / "clips" / name / "video.mp4").write_bytes(_footage())
    store.write_splits({"train": ["a", "b"], "val": ["c"]})


def _read_store(folder: Path) -> None:
    store = ClipStore.open(folder)
    for name in ("train", "val", "test"):
        store.split(name)
    find_true(folder, "train")
    clips = [store.clip(clip_id) for clip_id in store.ids]
    main_person(clips)
    for clip in clips:
        outdated(stored_stamps(clip.folder), {"source": {}, "steps": {}})
    config = SequenceConfig(store=folder, lengths=(25,))
    for data in MotionSequences.splits(config):
        data.moments(["lips", "eyes", "head", "torso", "subject"])
        data.fingerprint()
        _ = data[0] if len(data) and not data.training else None


def _labelled(folder: Path) -> None:
    write_json(folder / "speech.json", {"format": 1, "teacher": "x", "symbols": ["a", "b", "-"]})
    (folder / "splits").mkdir()
    rng = np.random.default_rng(0)
    for name, split in (("x", "train"), ("y", "val")):
        posteriors = np.log(rng.dirichlet(np.ones(3), 100)).astype(np.float16)
        write_npz(folder / f"{name}.npz", {"wave": np.zeros(32_000, np.int16), "posteriors": posteriors})
        write_text(folder / "splits" / f"{split}.txt", f"{name}\n")


def _read_labelled(folder: Path) -> None:
    for training in (True, False):
        SpeechCrops(SpeechDataConfig(root=folder, frames=10), training=training)


def _given(folder: Path) -> None:
    own = folder / "v"
    own.mkdir()
    angles = np.random.default_rng(0).normal(size=(10, 3))
    place = {"translation": np.zeros((10, 3)), "scale": np.ones(10), "convention": np.array("whenet")}
    write_npz(own / "pose.npz", {"fps": np.array(25.0), "rotation": angles, **place})
    write_npz(own / "parsing.npz", {"fps": np.array(25.0), "labels": np.ones((10, 8, 8), np.uint8)})


def _read_given(folder: Path) -> None:
    from moda.imaging.crop import Box

    given = Annotations.find(folder, "v.mp4")
    if given is not None:
        times = np.arange(10) / 25
        given.rotation(times)
        if given.has_masks:
            list(given.masks(times, Box(0, 0, 8), 8, 8))


def _hdtf(folder: Path) -> None:
    (folder / "videos").mkdir()
    (folder / "videos" / "One.mp4").write_bytes(b"")
    write_text(folder / "RD_annotion_time.txt", "One.mp4 00:10-00:30 01:00-01:20\nTwo.mp4 00:01-00:02\n")
    write_text(folder / "RD_crop_wh.txt", "One_0.mp4 10 100 20 100\nOne_1.mp4 10 100 20 100\n")
    write_text(folder / "RD_resolution.txt", "One.mp4 720\nTwo.mp4 1080\n")
    write_text(folder / "RD_video_url.txt", "One.mp4 https://example.org/1\n")


def _lists(folder: Path) -> None:
    for name, text in {
        "train.txt": "a\nb/c.mp4\n", "val.txt": "d\n", "test.txt": "e\n", "people.tsv": "file\tidentity\na.mp4\tann\n",
        "include.txt": "# mine\na.mp4\n", "offsets.tsv": "a\t1.5\nb\t-2\n",
    }.items():  # fmt: skip
        write_text(folder / name, text)


def _read_lists(folder: Path) -> None:
    PublishedLists.read(folder)
    read_identities(folder / "people.tsv")
    read_include(folder / "include.txt", ["a.mp4", "b.mp4"])
    read_offsets(folder / "offsets.tsv")


def _records(folder: Path) -> None:
    (folder / "made.mp4").write_bytes(b"")
    clip = {"stamp": "x", "shown": [0, 0, 9], "seconds": 1.0, "real_time_factor": 2.0}
    write_json(folder / "generation.json", {"format": 1, "clips": {"made": clip}, "failed": {"b": "no face"}})
    write_json(folder / "preview.json", {"seconds": 2.0, "lip_opening": [0.1, 0.2], "envelope": [0.5, None]})
    shot = {"start": 0, "stop": 40, "box": [0, 0, 100]}
    write_json(folder / "scan.json", {"stamp": {"version": 1}, "frames": 40, "reason": "", "shots": [shot]})


def _read_records(folder: Path) -> None:
    find_generated(folder)
    read_curves(folder / "preview.json")
    read_scan(folder / "scan.json", {"version": 1})


def _printed(folder: Path) -> None:
    write_text(folder / "printed.yaml", shipped("configs/eval/paper_table.yaml").read_text(encoding="utf-8"))


def _recordings(folder: Path) -> None:
    wave = np.sin(np.arange(8000) / 20).astype(np.float32)
    for name in ("a.wav", "b.flac", "c.ogg", "d.mp3"):
        soundfile.write(folder / name, wave, 16_000)


def _pictures(folder: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 80, 3), np.uint8).repeat(2, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "b.jpg", "c.webp", "d.gif", "e.bmp", "f.tiff"):
        picture.save(folder / name, exif=exif)


def _each(read: Callable[[Path], object], endings: Sequence[str]) -> Callable[[Path], object]:
    """Reads those of the files that were changed last: the others are known to be good."""

    def one(folder: Path) -> None:
        files = [path for path in folder.iterdir() if path.name.endswith(tuple(endings))]
        read(max(files, key=lambda path: path.stat().st_mtime_ns))

    return one


@cache
def _footage() -> bytes:
    import tempfile

    from moda.media.video import VideoWriter

    with tempfile.TemporaryDirectory() as folder:
        with VideoWriter(Path(folder) / "v.mp4", 64, 25) as writer:
            for level in range(40):
                writer.write(np.full((64, 64, 3), 6 * level, np.uint8))
        return (Path(folder) / "v.mp4").read_bytes()


def _video(folder: Path) -> None:
    (folder / "v.mp4").write_bytes(_footage())


torch.manual_seed(0)
READERS = (
    Reader("motion", 30, _motion, lambda folder: Motion.load(folder / "m.npz", seconds=1)),
    Reader("checkpoint", 25, _checkpoint, lambda f: load_network(checkpoint.load(f / "a.pt"), {}, source="a.pt")),
    Reader("train config", 12, _copied("debug/faco"), _train),
    Reader("infer config", 12, _copied("default/infer"), _parsed(InferenceConfig, "infer")),
    Reader("eval config", 12, _copied("eval/default"), _evaluation),
    Reader("ablation config", 2, _copied("ablation/debug"), _ablation),
    Reader("prepare config", 8, _copied("default/prepare"), _parsed(PrepareConfig, "prepare")),
    Reader("printed table", 6, _printed, lambda folder: read_printed(folder / "printed.yaml", "HDTF test set")),
    Reader("store", 18, _store, _read_store, (".json", ".npz", ".npy", ".txt", ".wav")),
    Reader("labelled speech", 8, _labelled, _read_labelled),
    Reader("given", 14, _given, _read_given),
    Reader("hdtf lists", 12, _hdtf, lambda folder: read_hdtf(folder, folder / "videos"), (".txt",)),
    Reader("lists", 10, _lists, _read_lists),
    Reader("records", 12, _records, _read_records, (".json",)),
    Reader("audio", 3, _recordings, _each(read_audio, (".wav", ".flac", ".ogg", ".mp3"))),
    Reader("picture", 6, _pictures, _each(read_picture, (".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff"))),
    Reader("video", 2, _video, lambda folder: probe(folder / "v.mp4")),
)
