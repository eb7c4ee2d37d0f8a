"""Content Credentials: a signed C2PA manifest in a generated video, which tells it from one that only says so.

The signature is made with the user's own certificate; c2pa-python (`moda[c2pa]`) does it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import moda
from moda.errors import ConfigError, MediaError
from moda.files import replacing
from moda.media.marking import SOURCE_TYPE
from moda.reading import read_bytes

_AGENT = {"name": "MODA", "version": moda.__version__}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_MP4 = "video/mp4"


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise ConfigError(f"c2pa-python is not installed ({error}); pip install 'moda[c2pa]'") from error
    return c2pa


def check_signer(certificates: Path, key: Path) -> None:
    """Raise a `ModaError` unless videos can be signed with these files: before any work is done."""
    _signer(certificates, key).close()


def sign_video(source: Path, target: Path, certificates: Path, key: Path) -> None:
    """Write the MP4 `source` to `target` with a manifest that says it was generated, and by what.

    certificates: PEM, the signer's first, then those above it. key: PEM, not encrypted. Raises a `ModaError`.
    """
    library, signer = _library(), _signer(certificates, key)
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": _AGENT}
    manifest = {
        "claim_generator_info": [_AGENT],
        "title": target.name,
        "format": _MP4,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    with replacing(target) as temporary, source.open("rb") as unsigned, temporary.open("w+b") as signed:
        builder = library.Builder(json.dumps(manifest))
        try:
            builder.sign(signer, _MP4, unsigned, signed)
        except library.C2paError as error:
            raise MediaError(f"cannot sign {target} with {certificates}: {error}") from error
        finally:
            builder.close()
            signer.close()


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Who signed a video, what it says, and whether that holds; None for one without a manifest.

    Raises `ConfigError` without the library.
    """
    library = _library()
    try:
        with library.Reader(str(path)) as reader:
            tree = json.loads(reader.json())
            state = reader.get_validation_state()
    except library.C2paError.ManifestNotFound:
        return None
    except (library.C2paError, ValueError) as error:
        return {"state": f"cannot be read: {error}"}
    active = tree.get("manifests", {}).get(tree.get("active_manifest"), {})
    found = {"state": state, "signed by": active.get("signature_info", {}).get("issuer")}
    for assertion in active.get("assertions", []):
        for action in assertion.get("data", {}).get("actions", []):
            found["digital source type"] = action.get("digitalSourceType")
    return found


def _signer(certificates: Path, key: Path) -> Any:
    library = _library()
    chain = read_bytes(certificates, what="the certificates ", error=ConfigError)
    secret = read_bytes(key, what="the key ", error=ConfigError)
    info = library.C2paSignerInfo(_algorithm(chain, secret, certificates, key), chain, secret, None)
    try:
        return library.Signer.from_info(info)
    except library.C2paError as error:
        raise ConfigError(f"cannot sign with {certificates} and {key}: {error}") from error


def _algorithm(chain: bytes, secret: bytes, certificates: Path, key: Path) -> str:
    """C2PA's name of the signature that a key makes; the first certificate should be of this key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    try:
        loaded = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key} is no private key in PEM without a password: {error}") from error
    try:
        own = load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{certificates} holds no certificates in PEM: {error}") from error
    if own.public_key() != loaded.public_key():
        raise ConfigError(f"the first certificate of {certificates} is not of the key {key}")
    if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name in _CURVES:
        return _CURVES[loaded.curve.name]
    if isinstance(loaded, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise ConfigError(f"{key} is of a kind that C2PA does not know, wanted EC (P-256, P-384, P-521), RSA or Ed25519")
