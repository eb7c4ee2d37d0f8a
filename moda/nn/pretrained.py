"""Weights of a `transformers` wav2vec 2.0, from a folder, the local cache of Hugging Face, or its site."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from safetensors import SafetensorError
from transformers import Wav2Vec2Config, Wav2Vec2Model

from moda.errors import CheckpointError, ConfigError

log = logging.getLogger(__name__)

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""OWNER/NAME, as Hugging Face names a model."""
HUB_TIMEOUT = 10.0
"""Seconds until the site counts as out of reach."""
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "conv_dim")
FORMS = ("conv_kernel", "conv_stride", "feat_extract_norm", "conv_bias", "do_stable_layer_norm")
TRAINING = ("hidden_dropout", "attention_dropout", "layerdrop", "apply_spec_augment", "mask_time_prob")
"""Settings that are ours, whatever the stored model was trained with."""
INSTEAD = (
    "fetch it where there is a network and name its folder, network.wav2vec.pretrained=FOLDER (made by "
    "save_pretrained), or train from random weights, network.wav2vec.pretrained=null network.wav2vec.freeze_cnn=false"
)


def load_wav2vec(source: str, wanted: Wav2Vec2Config) -> Wav2Vec2Model:
    """The model of a folder, or of a name OWNER/NAME from the local cache, else fetched.

    Raises `CheckpointError` if there is none, it is incomplete or cannot be read, `ConfigError` if its sizes are not
    those wanted.
    """
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


def _load(source: str, wanted: Wav2Vec2Config, *, local: bool) -> Wav2Vec2Model:
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
    for name in TRAINING:
        setattr(found, name, getattr(wanted, name))
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
    loaded: Wav2Vec2Model = model
    return loaded


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _cannot_load(source: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"cannot load wav2vec weights from {source} ({_first_line(error)}); give a folder made by save_pretrained"
    )
