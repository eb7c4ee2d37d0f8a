"""Several clients who ask one page for videos at once: each must get, byte by byte, what its job gives alone.

    python -m tests.app.load                            8 clients, 50 jobs each, one at a time, the networks that ship
    python -m tests.app.load --at-once 2 --queue 3      two at a time; who finds the queue full asks again

Each client has a sound and a portrait of its own, and a few seeds and gains, each asked for several times.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError
from PIL import Image

from moda.animation import InferenceConfig
from moda.app.limits import Limits
from moda.app.server import serving
from moda.config import merge, parse, to_dict
from moda.jobs.job import Job
from moda.jobs.making import Models, Timings, make_video, provenance_of
from moda.media.audio import write_wav
from tests.conftest import REPOSITORY, speech_like

CPU = torch.device("cpu")
_ASKS_AGAIN_SECONDS, _WAITS_SECONDS = 0.5, 300.0


class Wish(NamedTuple):
    """What a client asks for: the number of the client, and of its kind of job."""

    client: int
    kind: int

    @property
    def seed(self) -> int:
        return 100 * self.client + self.kind

    @property
    def head(self) -> float:
        return 0.5 + 0.25 * self.kind

    def sources(self, folder: Path) -> tuple[Path, Path]:
        """Voice and portrait."""
        return folder / f"voice_{self.client}.wav", folder / f"face_{self.client}.png"

    def alone(self, folder: Path, models: Models) -> tuple[bytes, bytes]:
        """Video and motion, made while nothing else runs."""
        config = parse(InferenceConfig, merge(to_dict(models.config), {"gains": {"head": self.head}}), source="load")
        video = folder / f"alone_{self.client}_{self.kind}.mp4"
        job = Job(*self.sources(folder), video, self.seed, save_motion=video.with_suffix(".npz"))
        make_video(job, models.under(config), Timings(), provenance_of(job, config))
        return video.read_bytes(), video.with_suffix(".npz").read_bytes()

    def asked(self, folder: Path, client: Client) -> tuple[bytes, bytes]:
        """The same from the page. Raises `AppError`, `QueueError`."""
        voice, face = (handle_file(path) for path in self.sources(folder))
        video, motion, status = client.predict(
            voice=voice, portrait=face, seed=self.seed, head=self.head, api_name="/animate"
        )
        assert status["state"] == "done", status
        paths = [Path(video["path"] if isinstance(video, dict) else video), Path(motion)]
        assert [path.name for path in paths] == [f"voice_{self.client}_{self.seed}{end}" for end in (".mp4", ".npz")]
        return paths[0].read_bytes(), paths[1].read_bytes()


def faces() -> Iterator[np.ndarray]:
    """The demo's face in eight ways: mirrored or not, in four orders of colours."""
    picture = np.asarray(Image.open(REPOSITORY / "assets" / "demo.png").convert("RGB").crop((96, 0, 352, 256)))
    for order, side in itertools.product(([0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]), (1, -1)):
        yield picture[:, ::side, order]


def load(
    settings: InferenceConfig, limits: Limits, *, clients: int = 8, jobs: int, kinds: int, seconds: float,
    say: Callable[[str], object],
) -> Counter[str]:  # fmt: skip
    """Let each client, 8 at most, ask for `jobs` videos. Returns how many were right, wrong, lost, and refused before.

    say: told what was wrong or lost.
    """
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, models = Path(name), Models(settings, CPU)
        for number, face in zip(range(clients), faces(), strict=False):
            write_wav(folder / f"voice_{number}.wav", speech_like(seconds + 0.04 * number, 100 + 15 * number, number))
            Image.fromarray(face).save(folder / f"face_{number}.png")
        wishes = [[Wish(client, kind) for kind in range(kinds)] for client in range(clients)]
        alone = {wish: wish.alone(folder, models) for wish in itertools.chain(*wishes)}
        assert len({video for video, _ in alone.values()}) == len(alone)

        def answer(wish: Wish, client: Client) -> str:
            while True:
                try:
                    got = wish.asked(folder, client)
                except QueueError:
                    found["refused"] += 1
                    time.sleep(_ASKS_AGAIN_SECONDS)
                    continue
                except AppError as error:
                    say(f"{wish} is lost: {error}")
                    return "lost"
                if got == alone[wish]:
                    return "right"
                others = [each for each, made in alone.items() if made[0] == got[0] or made[1] == got[1]]
                kept = Path(tempfile.mkdtemp(prefix="wrong_"))
                for kind, made in (("got", got), ("alone", alone[wish])):
                    (kept / f"{kind}.mp4").write_bytes(made[0])
                    (kept / f"{kind}.npz").write_bytes(made[1])
                say(f"{wish} got something else; the same video or motion as {others}; see {kept}")
                return "wrong"

        def ask(number: int, url: str) -> None:
            client = Client(
                url, verbose=False, download_files=folder / f"got_{number}", httpx_kwargs={"timeout": _WAITS_SECONDS}
            )
            for wish in itertools.islice(itertools.cycle(wishes[number]), jobs):
                found[answer(wish, client)] += 1

        with serving(settings, CPU, limits, port=0) as served, ThreadPoolExecutor(clients) as pool:
            list(pool.map(ask, range(clients), [served.url] * clients))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("clients", 8), ("jobs", 50), ("kinds", 5), ("at-once", 1), ("queue", 20), ("size", 128)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=0.8, help="of the shortest sound")
    chosen = parser.parse_args()

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    settings = parse(InferenceConfig, {"size": chosen.size}, source="load")
    limits = Limits(at_once=chosen.at_once, queue=chosen.queue)
    begun, used = time.monotonic(), time.process_time()
    found = load(
        settings, limits, clients=chosen.clients, jobs=chosen.jobs, kinds=chosen.kinds, seconds=chosen.seconds, say=say
    )
    say(
        f"{chosen.clients} clients, {chosen.jobs} jobs each: {found['right']} right, {found['wrong']} wrong, "
        f"{found['lost']} lost; {found['refused']} times the queue was full; {time.monotonic() - begun:.0f} s, "
        f"{time.process_time() - used:.0f} s of CPU"
    )
    return 0 if found["right"] == chosen.clients * chosen.jobs else 1


if __name__ == "__main__":
    sys.exit(main())
