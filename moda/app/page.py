"""The page: a voice and a portrait beside videos. Its event is the REST endpoint and the MCP tool, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from moda.animation import InferenceConfig
from moda.app.live import Live
from moda.app.studio import Order, Product, Step, Studio
from moda.errors import ModaError
from moda.locations import shipped
from moda.provenance import MAX_CONSENT
from moda.representation import PARTS

SIZES = (256, 384, 512, 768)
"""Sides that are offered, pixels; another may be typed."""
MAX_GAIN = 2.0
INTRODUCTION = """# MODA
**One portrait and a voice become a talking video.** Both stay on this computer and are removed after {} minutes."""
CONSENT = """Animate yourself, people who have agreed to it, or pictures that are free for such use, and say that the
result is synthetic. Every video states in its metadata that it was generated, and how."""
EXAMPLES = {
    "The demo": (0, 1.0, 1.0),
    "Another seed": (4, 1.0, 1.0),
    "A calm head": (0, 0.4, 0.4),
}
"""Seed, gain of the head, gain of the shoulders."""
_STATUS = """{{#if value}}<div class="moda-job" data-state="{{value.state}}" role="status">
<progress max="{{#if value.total}}{{value.total}}{{else}}1{{/if}}" {{#if value.total}}value="{{value.done}}"{{/if}}>
</progress><p>{{value.text}}</p>{{#each value.remarks}}<p class="moda-remark">{{this}}</p>{{/each}}</div>{{/if}}"""

LIVE_SECONDS = 600
_PLAYER = """
const canvas = document.createElement("canvas"), pen = canvas.getContext("2d"), picture = new Image();
let waiting = [], clock = 0;  // of the next frame, in frames of the sound
canvas.width = canvas.height = 0;
element.insertAdjacentElement("afterend", canvas);
watch("value", () => {
  const frames = props.value ? props.value.frames : [];
  if (!frames.length) return;
  if (frames[0][0] < clock - 50) [waiting, clock] = [[], frames[0][0]];  // another session
  waiting.push(...frames);
});
picture.onload = () => {
  if (canvas.width !== picture.width) [canvas.width, canvas.height] = [picture.width, picture.height];
  pen.drawImage(picture, 0, 0);
  canvas.dataset.shown = 1 + Number(canvas.dataset.shown || 0);
};
setInterval(() => {
  if (!waiting.length) return;
  clock = Math.max(clock + 1, waiting[waiting.length - 1][0] - 25);  // a second: what is older was too late
  let due = null;
  while (waiting.length && waiting[0][0] <= clock) due = waiting.shift();
  if (!due) return;
  canvas.dataset.number = due[0];
  picture.src = "data:image/jpeg;base64," + due[1];
}, 40);
"""
"""Shows frames at the pace of their sound, 25 a second, those that were left out too."""

Update = tuple[Any, Any, Any]
"""Video, motion, status."""


def _portrait() -> gr.Image:
    """A picture as its file: the project's own reader opens it, whatever its name says."""
    picture = gr.Image(label="Portrait", sources=["upload", "webcam", "clipboard"], type="filepath", height=278)
    # Not a subclass: Gradio writes a .pyi beside the module of each.
    picture.preprocess = lambda payload: None if payload is None else payload.path
    return picture


def _status(name: str) -> gr.HTML:
    """How far a job is: a `Step` as a dictionary."""
    status = gr.HTML(None, html_template=_STATUS, label="Status", elem_id=f"{name}-status")
    kind = {"type": "object", "description": "state, text, done, total, seconds_left, remarks"}
    status.api_info = lambda: kind
    return status


class Result:
    """The components of one video: itself, its motion, its status."""

    def __init__(self, name: str, label: str, *, visible: bool) -> None:
        with gr.Column(visible=visible, min_width=260, elem_classes="moda-result") as self.column:
            self.video = gr.Video(
                label=label, interactive=False, autoplay=visible, buttons=["download"], elem_id=f"{name}-video"
            )
            self.status = _status(name)
            self.motion = gr.DownloadButton("Download the motion", size="sm", elem_classes="moda-motion")

    @property
    def outputs(self) -> list[gr.components.Component]:
        """In the order of `Update`."""
        return [self.video, self.motion, self.status]


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio."""
    minutes = studio.limits.keep_minutes
    with gr.Blocks(title="MODA", analytics_enabled=False, delete_cache=(60, 60 * minutes)) as page:
        gr.Markdown(INTRODUCTION.format(minutes), elem_id="introduction")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                inputs, other_seed, compare = _inputs(studio.config)
                with gr.Row():
                    animate = gr.Button("Animate", variant="primary", scale=3, elem_id="animate")
                    stop = gr.Button("Stop", scale=1, min_width=80, elem_id="stop")
            with gr.Column(scale=6, min_width=320), gr.Row():
                first = Result("first", "Video", visible=True)
                second = Result("second", "Video of the other seed", visible=False)
        live = Live(studio)
        with gr.Accordion("Live: speak, and the portrait speaks with you", open=False), gr.Row(elem_id="live"):
            microphone = gr.Audio(
                label="Microphone", sources=["microphone"], streaming=True, type="numpy", min_width=240
            )
            player = gr.HTML(None, html_template="", js_on_load=_PLAYER, elem_id="player", min_width=240)
        gr.Markdown(CONSENT, elem_id="consent-note")

        make = _animation(studio)
        made = animate.click(
            make, inputs, first.outputs, api_name="animate", show_progress_on=first.status,
            concurrency_id="jobs", concurrency_limit=studio.limits.at_once,
        )  # fmt: skip
        others = [compare, *(other_seed if each is inputs[2] else each for each in inputs)]
        made_again = made.success(
            _if_wanted(make), others, second.outputs, show_progress_on=second.status,
            concurrency_id="jobs", api_visibility="private",
        )  # fmt: skip
        _, portrait, seed, *_ = inputs
        speaking = microphone.stream(
            _speaking(live), [microphone, portrait, seed], player, stream_every=0.2, show_progress="hidden",
            time_limit=LIVE_SECONDS, concurrency_limit=studio.limits.at_once, api_visibility="private",
        )  # fmt: skip
        microphone.stop_recording(_silent(live), None, None, cancels=speaking, queue=False, api_visibility="private")
        page.unload(_silent(live))
        states = [first.status, second.status]
        stop.click(_stopped, states, states, cancels=[made, made_again], queue=False, api_visibility="private")
        compare.change(_shown, compare, [other_seed, second.column], queue=False, api_visibility="private")
    page.queue(max_size=studio.limits.queue, default_concurrency_limit=studio.limits.at_once, api_open=False)
    return page


def _inputs(config: InferenceConfig) -> tuple[list[gr.components.Component], gr.Number, gr.Checkbox]:
    """The components of the arguments of `animate`, in their order; the other seed, and whether it is wanted."""
    with gr.Row(elem_id="sources"):
        voice = gr.Audio(label="Voice", sources=["upload", "microphone"], type="filepath", buttons=["download"])
        portrait = _portrait()
    examples = gr.Column()
    with gr.Row(elem_id="seeds"):
        seed = gr.Number(0, label="Seed", info="of head, eyes and shoulders", precision=0, min_width=110)
        compare = gr.Checkbox(False, label="Compare two seeds", min_width=150, elem_id="compare")
        other = gr.Number(1, label="Other seed", info="shown beside", precision=0, min_width=110, visible=False)
    with gr.Accordion("Motion", open=False), gr.Row():
        gains = [_gain(part, getattr(config.gains, part)) for part in PARTS]
    with gr.Accordion("Picture", open=False):
        with gr.Row():
            sizes = sorted({*SIZES, config.size})
            framings = [("Head and shoulders", "crop"), ("Whole picture", "full")]
            size = gr.Dropdown(sizes, value=config.size, label="Size", info="pixels", allow_custom_value=True)
            framing = gr.Radio(framings, value=config.framing, label="Framing")
        with gr.Row():
            face = gr.Number(1, label="Face", info="1 is the largest", precision=0, minimum=1, min_width=110)
            accept = gr.Checkbox(
                config.accept_face, label="Take a covered mouth or a profile", info="such faces are refused else"
            )
    consent = gr.Textbox(
        "", label="Consent", info="who agreed to this video; it is written into it", max_lines=1,
        max_length=MAX_CONSENT,
    )  # fmt: skip
    head, torso = gains[2], gains[3]
    sources = [str(shipped(f"assets/demo.{suffix}")) for suffix in ("wav", "png")]
    with examples:
        gr.Examples(
            [[*sources, *values] for values in EXAMPLES.values()], [voice, portrait, seed, head, torso],
            example_labels=list(EXAMPLES), cache_examples=False, api_visibility="private",
            label="No voice or portrait at hand? Try",
        )  # fmt: skip
    return [voice, portrait, seed, *gains, size, framing, face, accept, consent], other, compare


def _gain(part: str, value: float) -> gr.Slider:
    return gr.Slider(0, max(MAX_GAIN, value), value, step=0.05, label=part.capitalize(), min_width=180)


def _animation(studio: Studio) -> Callable[..., Iterator[Update]]:
    """The event of the page, whose description and arguments are those of the REST endpoint and the MCP tool."""

    def animate(
        voice: str | None, portrait: str | None, seed: int, lips: float, eyes: float, head: float, torso: float,
        size: int | str, framing: str, face: int, accept_face: bool, consent: str, request: gr.Request,
    ) -> Iterator[Update]:  # fmt: skip
        """Make a portrait speak: a voice and a picture of a face become a talking video, and its motion as a file.

        Args:
            voice: Audio file: WAV, FLAC, MP3, OGG, Opus.
            portrait: Picture of a face: PNG, JPEG, WebP.
            seed: Of the motion of head, eyes and shoulders.
            lips: How much of their motion the lips keep: 0 still, 1 as predicted.
            eyes: The same of eyes and brows.
            head: The same of the head.
            torso: The same of the shoulders.
            size: Side of the animated square, pixels, even.
            framing: crop is the square around head and shoulders, full the whole picture.
            face: Which face of the picture, by size; 1 is the largest.
            accept_face: Animate a face that would be refused: covered mouth, profile.
            consent: Who agreed to this video; written into its metadata.
        """
        if voice is None or portrait is None:
            missing = " and no ".join(name for name, path in (("voice", voice), ("portrait", portrait)) if path is None)
            raise gr.Error(f"There is no {missing} yet", print_exception=False)
        changes = {
            "gains": {"lips": lips, "eyes": eyes, "head": head, "torso": torso},
            "size": size, "framing": framing, "accept_face": accept_face,
        }  # fmt: skip
        order = Order(Path(voice), Path(portrait), changes, seed, face, consent)
        product = None
        try:
            for item in studio.make(order, request.state.owner):
                if isinstance(item, Product):
                    product = item
                elif product is not None:
                    yield str(product.video), str(product.motion), item._asdict()
                else:
                    yield None, None, item._asdict()
        except ModaError as error:
            text = f"{str(error)[:1].upper()}{str(error)[1:]}"
            yield None, None, Step("failed", text)._asdict()
            raise gr.Error(text, print_exception=False) from error

    return animate


def _speaking(live: Live) -> Callable[..., dict[str, Any] | None]:
    """The event of the microphone: sound in, frames out."""

    def speak(
        sound: tuple[int, np.ndarray] | None, portrait: str | None, seed: int, request: gr.Request
    ) -> dict[str, Any] | None:
        if sound is None:
            return None
        if portrait is None:
            raise gr.Error("There is no portrait yet", print_exception=False)
        try:
            return {"frames": live.hear(request.session_hash, sound, Path(portrait), seed)}
        except ModaError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return speak


def _silent(live: Live) -> Callable[[gr.Request], None]:
    """The event of the microphone's end."""

    def silent(request: gr.Request) -> None:
        live.stop(request.session_hash)

    return silent


def _if_wanted(make: Callable[..., Iterator[Update]]) -> Callable[..., Iterator[Update]]:
    """The same event for the other seed, if it is wanted."""

    def animate_other(request: gr.Request, wanted: bool, *arguments: Any) -> Iterator[Update]:
        if wanted:
            yield from make(*arguments, request)
        else:
            yield None, None, None

    return animate_other


def _stopped(*states: dict[str, Any] | None) -> list[Any]:
    """The statuses, where those of unfinished jobs say that they were stopped."""
    stopped = Step("done", "Stopped")._asdict()
    return [gr.skip() if state is None or state["state"] != "working" else stopped for state in states]


def _shown(wanted: bool) -> list[Any]:
    return [gr.update(visible=wanted)] * 2
