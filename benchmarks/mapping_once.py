"""Mapping once against frame by frame: the same decoder weights, run both ways, by length of the audio.

    python benchmarks/mapping_once.py [--checkpoint PT | --config YAML] [--seconds 4 12 24] [--json]

What is timed is SpecAttn and the lips' head, given the speech encoder's features, and again with the
encoder, which both ways run once. Three ways to the same lips:

    once      one pass over the whole length (the paper's "mapping once"; one window, also at 24 s)
    frame     frame by frame as FaceFormer's published code: at frame t the decoder runs again on the
              prefix 0..t, without a cache, and its last frame is kept. Two things are cheaper here than
              published: the memory is cut to the prefix, and the head reads the new frame alone.
    cached    frame by frame with cached keys and values, as a language model is run: the fair rival

The ratio is that of "frame" (or "cached") to "once". SpecAttn is causal and fed with audio, not with
its own output, so all three must agree to float precision; the largest difference is printed.
Times are the least of `--repeats` runs of "once" and "cached", and one run of "frame".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from moda.nn.attention import SpecAttn, alignment_mask, temporal_mask
from moda.nn.positional import sinusoidal

if TYPE_CHECKING:
    from moda.stages.audio2repr.network import Audio2Repr

ROOT = Path(__file__).resolve().parents[1]
TARGET, TARGET_SECONDS = 40.0, 12.0
"""Ratio asked for without the encoder, and at which length."""
Way = Callable[[SpecAttn, nn.Module, Tensor, Tensor], Tensor]


def once(spec: SpecAttn, head: nn.Module, s: Tensor, s_a: Tensor) -> Tensor:
    """All frames in one pass: s, s_a (1, T, d) -> head's channels (1, T, K)."""
    out: Tensor = head(spec(s, s_a))
    return out


def frame_by_frame(spec: SpecAttn, head: nn.Module, s: Tensor, s_a: Tensor) -> Tensor:
    """One pass of the decoder over 0..t for every t, as FaceFormer's: no cache. Masks are made once."""
    frames, width = s.shape[1:]
    past = temporal_mask(frames, spec.period, spec.get_buffer("slopes"))
    aligned = alignment_mask(frames)
    target = s + sinusoidal(frames, width, period=spec.period)
    kept = []
    for stop in range(1, frames + 1):
        out = spec.decoder(
            target[:, :stop],
            s_a[:, :stop],
            tgt_mask=past[:, :stop, :stop],
            memory_mask=aligned[:stop, :stop],
        )
        kept.append(head(out[:, -1:]))
    return torch.cat(kept, dim=1)


def cached(spec: SpecAttn, head: nn.Module, s: Tensor, s_a: Tensor) -> Tensor:
    """Frame by frame, each layer keeping its keys and values: only the new frame passes the decoder."""
    frames, width = s.shape[1:]
    past = temporal_mask(frames, spec.period, spec.get_buffer("slopes"))
    target = s + sinusoidal(frames, width, period=spec.period)
    layers = [layer for layer in spec.decoder.layers if isinstance(layer, nn.TransformerDecoderLayer)]
    stores = [torch.zeros(2, past.shape[0], frames, width // past.shape[0]) for _ in layers]  # keys, values
    kept = []
    for t in range(frames):
        x = target[0, t]
        for layer, store in zip(layers, stores, strict=True):
            x = layer.norm1(x + _attend(layer.self_attn, x, store, past[:, t, : t + 1], t))
            x = layer.norm2(x + _aligned(layer.multihead_attn, s_a[0, t]))
            x = layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))
        kept.append(head(x[None, None]))
    return torch.cat(kept, dim=1)


def _attend(attention: nn.MultiheadAttention, x: Tensor, store: Tensor, mask: Tensor, t: int) -> Tensor:
    """Self-attention of the new frame (d,) over the frames stored; store (2, h, T, d/h) takes frame t."""
    query, key, value = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3)
    heads, _, size = store.shape[1:]
    store[0, :, t], store[1, :, t] = key.reshape(heads, size), value.reshape(heads, size)
    keys, values = store[:, :, : t + 1]
    logits = (keys @ query.reshape(heads, size, 1))[..., 0] * size**-0.5 + mask
    mixed = (logits.softmax(-1)[:, None] @ values).flatten()
    out: Tensor = attention.out_proj(mixed)
    return out


def _aligned(attention: nn.MultiheadAttention, memory: Tensor) -> Tensor:
    """Cross-attention under M_A: one frame of memory, weight one, whatever the query."""
    width = len(memory)
    value = F.linear(memory, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    out: Tensor = attention.out_proj(value)
    return out


WAYS: dict[str, Way] = {"once": once, "frame": frame_by_frame, "cached": cached}


def load(options: argparse.Namespace) -> tuple[Audio2Repr, str]:
    """Stage 1 in eval mode, from the checkpoint or with random weights from a train config, and its name."""
    from moda import checkpoint
    from moda.config import load_yaml
    from moda.stages.registry import build_network, load_network

    torch.manual_seed(0)
    if options.config is not None:
        source = str(options.config)
        network: Any = build_network("audio2repr", load_yaml(options.config).get("network", {}), source=source)
    else:
        source = str(options.checkpoint)
        loaded = checkpoint.load(options.checkpoint, stage="audio2repr")
        network = load_network(loaded, {}, source=source)
    if network.spec is None or network.heads["lips"].layers[0].in_features != network.config.d:
        raise SystemExit(f"{source}: the lips do not read SpecAttn alone; give a config with lips_from: spec")
    return network.eval(), source


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time all ways at all lengths."""
    import numpy as np

    from moda.media.audio import read_audio
    from moda.representation import frames_of, samples_at

    network, source = load(options)
    audio = read_audio(options.audio)
    subject = network.normalizer("subject").mean[None]
    spec, head, spread = network.spec, network.heads["lips"], network.normalizer("lips").std.max()
    assert spec is not None
    rows = []
    for seconds in sorted(options.seconds):
        frames = frames_of(round(seconds * 16_000))
        wave = torch.from_numpy(np.resize(audio, samples_at(frames)))[None]
        with torch.inference_mode():
            features = network.features(wave, subject, frames)
            encoder = min(_timed(lambda: network.features(wave, subject, frames))[0] for _ in range(options.repeats))  # noqa: B023
            row: dict[str, Any] = {"seconds": seconds, "frames": frames, "encoder": round(encoder, 4)}
            expected = once(spec, head, features.both, features.audio)
            for name, way in WAYS.items():
                runs = 1 if name == "frame" else options.repeats
                timed = [_timed(lambda: way(spec, head, features.both, features.audio)) for _ in range(runs)]  # noqa: B023
                row[name] = round(min(spent for spent, _ in timed), 4)
                row[f"{name}_difference"] = float((timed[0][1] - expected).abs().max() * spread)
        for name in ("frame", "cached"):
            row[f"{name}_ratio"] = round(row[name] / row["once"], 1)
            row[f"{name}_ratio_with_encoder"] = round((row[name] + encoder) / (row["once"] + encoder), 1)
        rows.append(row)
    return {
        "benchmark": "mapping_once",
        "network": source,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "rows": rows,
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def show(record: dict[str, Any]) -> None:
    """Print one line a length and way, and what was asked for."""
    table = Table(title=f"{record['network']}, {record['threads']} threads")
    for title in ("audio", "way", "decoder and lips", "ratio", "with the encoder", "ratio ", "largest difference"):
        table.add_column(title, justify="left" if title in ("audio", "way") else "right")
    for row in record["rows"]:
        for name in WAYS:
            ratios = [f"{row[key]:.1f}" for key in (f"{name}_ratio", f"{name}_ratio_with_encoder") if key in row]
            table.add_row(
                f"{row['seconds']:g} s, {row['frames']} frames" if name == "once" else "",
                name,
                f"{row[name]:.4f} s",
                ratios[0] if ratios else "",
                f"{row[name] + row['encoder']:.4f} s",
                ratios[1] if ratios else "",
                f"{row[f'{name}_difference']:.1e} px",
            )
        table.add_section()
    console = Console()
    console.print(table)
    ratios = [row["frame_ratio"] for row in record["rows"]]
    grows = all(a < b for a, b in pairwise(ratios))
    console.print(
        f"Ratio of frame by frame to once: {', '.join(f'{ratio:g}' for ratio in ratios)}; it "
        f"{'grows' if grows else 'does not grow'} with the length. Asked for: above {TARGET:g} at "
        f"{TARGET_SECONDS:g} s without the encoder. Load of the machine at the end: {record['load']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="The same decoder frame by frame and mapping once.")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "assets" / "checkpoints" / "audio2repr.pt")
    parser.add_argument("--config", type=Path, help="a train config instead: its network with random weights")
    parser.add_argument("--audio", type=Path, default=ROOT / "assets" / "demo.wav", help="repeated or cut to length")
    parser.add_argument("--seconds", type=float, nargs="+", default=[4.0, 12.0, 24.0])
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the fastest counts (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    if min(options.seconds) < 0.04 or options.repeats < 1:
        parser.error("wanted --seconds of 0.04 or more and --repeats of 1 or more")
    record = measure(options)
    show(record)
    if options.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
