"""MODA on Ray Serve: replicas on the GPUs of a cluster, scaled by what is asked for.

serve run docs.serving.ray_serve:app (pip install "ray[serve]"), then
curl -F voice=@assets/demo.wav -F portrait=@assets/demo.png "http://127.0.0.1:8000/?seed=3" -o talking.mp4
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ray import serve
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from moda.animation import InferenceConfig
from moda.config import load_yaml, parse
from moda.device import choose_device
from moda.errors import ModaError
from moda.jobs.job import Job
from moda.jobs.making import Models, make_unless_made

GPUS = 1  # a replica; 0 without GPUs


@serve.deployment(
    ray_actor_options={"num_gpus": GPUS},
    max_ongoing_requests=2,  # one is made, one is read
    max_queued_requests=20,  # one more gets HTTP 503
    autoscaling_config={"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 1},
)
class Portraits:
    """One replica: networks that are loaded once."""

    def __init__(self) -> None:
        config = parse(InferenceConfig, load_yaml("default/infer"), source="default/infer")
        self.models = Models(config, choose_device())
        self.models.animator(with_motion=True)

    async def __call__(self, request: Request) -> Response:
        """A form with the files voice and portrait; the answer is the video."""
        form = await request.form()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part in ("voice", "portrait"):
                if part not in form:
                    return PlainTextResponse(f"there is no {part}", 400)
                (folder / part).write_bytes(await form[part].read())
            seed = request.query_params.get("seed", "0")
            job = Job(folder / "voice", folder / "portrait", folder / "video.mp4", int(seed) if seed.isdecimal() else 0)
            try:
                await run_in_threadpool(make_unless_made, job, self.models.under(self.models.config))
            except ModaError as error:
                return PlainTextResponse(str(error).replace(f"{folder}/", ""), 422)
            return Response(job.output.read_bytes(), media_type="video/mp4")


app = Portraits.bind()
