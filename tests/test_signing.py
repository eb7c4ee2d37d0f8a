"""A signed manifest: written with a certificate made here, read back, and broken by a changed byte."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import numpy as np
import pytest

from moda.errors import ConfigError
from moda.media.marking import SOURCE_TYPE
from moda.media.video import VideoWriter, probe
from moda.signing import check_signer, read_manifest, sign_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "a b.mp4"
    with VideoWriter(path, 64, 25) as writer:
        for value in range(5):
            writer.write(np.full((64, 64, 3), 40 * value, np.uint8))
    return path


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ConfigError, match=r"pip install 'moda\[c2pa\]'"):
        check_signer(tmp_path / "c.pem", tmp_path / "k.pem")


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate of a test authority, as C2PA's profile asks for, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(common: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
        )

    def signed(subject: str, key: ec.EllipticCurvePrivateKey, authority: bool) -> x509.Certificate:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject)).issuer_name(name("authority")).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime(2020, 1, 1)).not_valid_after(datetime.datetime(2120, 1, 1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
                                         **usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        )  # fmt: skip
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True
            )
        return builder.sign(root, hashes.SHA256())

    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = [signed("signer", own, False), signed("authority", root, True)]
    (folder / "chain.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    secret = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    return folder / "chain.pem", folder / "key.pem"


def test_a_signed_video_says_what_it_is_and_a_changed_one_is_found_out(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("c2pa", reason="needs moda[c2pa]")
    certificates, key = make_certificates(tmp_path)
    check_signer(certificates, key)
    sign_video(video, tmp_path / "signed.mp4", certificates, key)
    manifest = read_manifest(tmp_path / "signed.mp4")
    assert manifest and manifest["digital source type"] == SOURCE_TYPE and manifest["signed by"] == "Test"
    assert manifest["state"] in ("Valid", "Trusted")
    assert probe(tmp_path / "signed.mp4").seconds == pytest.approx(0.2, abs=0.01)
    data = bytearray((tmp_path / "signed.mp4").read_bytes())
    data[data.index(b"mdat") + 200] ^= 1
    (tmp_path / "changed.mp4").write_bytes(data)
    changed = read_manifest(tmp_path / "changed.mp4")
    assert changed and changed["state"] == "Invalid"
    assert read_manifest(video) is None


def test_files_that_are_no_certificate_or_key_are_told(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("c2pa", reason="needs moda[c2pa]")
    certificates, key = make_certificates(tmp_path)
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ConfigError, match="is no private key in PEM"):
        check_signer(certificates, tmp_path / "text.pem")
    with pytest.raises(ConfigError, match="holds no certificates in PEM"):
        check_signer(tmp_path / "text.pem", key)
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="is not of the key"):
        check_signer(certificates, make_certificates(tmp_path / "other")[1])
    with pytest.raises(ConfigError, match="cannot read the key"):
        check_signer(certificates, tmp_path / "none.pem")
    assert not (tmp_path / "signed.mp4").exists()
