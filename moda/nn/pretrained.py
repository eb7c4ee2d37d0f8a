"""Weights of a `transformers` wav2vec 2.0, from a folder, the local cache of Hugging Face, or its site."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from safetensors import SafetensorError
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model

from moda.errors import CheckpointError, ConfigError
from moda.nn.settings import SpeechConfig

log = logging.getLogger(__name__)

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""OWNER/NAME, as Hugging Face names a model."""
HUB_TIMEOUT = 10.0
"""Seconds until the site counts as out of reach."""
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "conv_dim")
FORMS = ("conv_kernel", "conv_stride", "feat_extract_norm", "conv_bias", "do_stable_layer_norm")
INSTEAD = (
    "fetch it where there is a network and name its folder, network.wav2vec.pretrained=FOLDER (made by "
    "save_pretrained), or train from random weights, network.wav2vec.pretrained=null network.wav2vec.freeze_cnn=false"
)


def transformers_config(config: SpeechConfig) -> Wav2Vec2Config:
    """A speech encoder's settings as `transformers` understands them; kernels and strides are wav2vec2's (50 Hz)."""
    return Wav2Vec2Config(
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.ffn,
        conv_dim=(config.conv_dim,) * 7 if isinstance(config.conv_dim, int) else config.conv_dim,
        feat_extract_norm=config.conv_norm,
        conv_bias=config.conv_bias,
        do_stable_layer_norm=config.pre_norm,
        mask_time_prob=0.05 if config.spec_augment else 0.0,
    )


def load_wav2vec(config: SpeechConfig) -> dict[str, Tensor]:
    """Weights of `config.pretrained`: of a folder, or of a name OWNER/NAME from the local cache, else fetched.

    Raises `CheckpointError` if there are none, they are incomplete or cannot be read, `ConfigError` if their sizes are
    not those of `config`.
    """
    source, wanted = str(config.pretrained), transformers_config(config)
    if Path(source).is_dir():
        return _load(source, wanted, local=True)
    if not HUB_NAME.fullmatch(source):
        raise CheckpointError(f"no wav2vec weights: there is no folder {source}; {INSTEAD}")
    try:
        return _load(source, wanted, local=True)
    except CheckpointError:  # not in the cache, or not whole
        _require_site(source)
        return _load(source, wanted, local=False)


def _require_site(name: str) -> None:
    """One short request: without a network, `transformers` would try again and again for half a minute."""
    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=HUB_TIMEOUT)
    except Exception as error:  # of the hub's client and of the one it uses; which ones depends on their versions
        raise CheckpointError(
            f"no wav2vec weights: there is no folder {name}, it is not in the cache of Hugging Face, and cannot be "
            f"fetched ({_first_line(error)}); {INSTEAD}"
        ) from error


def _load(source: str, wanted: Wav2Vec2Config, *, local: bool) -> dict[str, Tensor]:
    try:
        found = Wav2Vec2Config.from_pretrained(source, local_files_only=local)
    except (OSError, ValueError) as error:
        raise _cannot_load(source, error) from error
    differing = [
        f"{name} is {_plain(getattr(found, name))}, the configuration says {_plain(getattr(wanted, name))}"
        for name in SIZES + FORMS
        if _plain(getattr(found, name)) != _plain(getattr(wanted, name))
    ]
    if differing:
        raise ConfigError(f"wav2vec weights in {source} are of another size: {'; '.join(differing)}")
    found.mask_time_prob = wanted.mask_time_prob
    try:
        model, report = Wav2Vec2Model.from_pretrained(
            source, config=found, local_files_only=local, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _cannot_load(source, error) from error
    missing = sorted(name for name in report["missing_keys"] if name != "masked_spec_embed")
    if missing or report["mismatched_keys"]:
        names = ", ".join(missing[:3] + [str(key) for key in list(report["mismatched_keys"])[:3]])
        raise CheckpointError(f"wav2vec weights in {source} are incomplete: {names}")
    log.info("speech encoder starts from %s", source)
    return dict(model.state_dict())


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _cannot_load(source: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"cannot load wav2vec weights from {source} ({_first_line(error)}); give a folder made by save_pretrained"
    )
