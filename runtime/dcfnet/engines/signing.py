"""Signatures of engines: an Ed25519 key of each user, created on first use, and the keys that are trusted here.

A hash next to a file proves nothing, because an attacker can change both. An engine is executable code, so it runs only
if its passport is signed with the key of this user, or with a key that the user added to the folder of trusted keys.
"""

from __future__ import annotations

import base64
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from dcfnet.errors import EngineError, MissingDependencyError

try:
    import platformdirs
    from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise MissingDependencyError("cryptography or platformdirs", "rtx", str(error)) from error

FOLDER = "DCFNET_KEYS"  # environment variable: another folder for the keys, for example of a service without a home
KEY = "signing_key.pem"
TRUSTED = "trusted"  # its files *.pub contain one public key each, as returned by `public_text`


def key_folder() -> Path:
    """The folder with the keys of this user."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else platformdirs.user_config_path("dcfnet")


def own_key() -> Ed25519PrivateKey:
    """The key of this user, created if there is none. Raises EngineError if it cannot be read or written."""
    file = key_folder() / KEY
    try:
        if not file.exists():
            _create_key(file)
        content = file.read_bytes()
    except OSError as error:
        raise _unusable(error) from error
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:  # InternalError: of OpenSSL
        reason = str(error).partition(". ")[0]  # that of OpenSSL has many lines
        raise EngineError(
            f"{file}: not a valid signing key ({reason}); delete it, and a new one will be created"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EngineError(f"{file}: not an Ed25519 key; delete it, and a new one will be created")
    return key


def _unusable(error: OSError) -> EngineError:
    reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return EngineError(
        f"{key_folder()}: a signing key cannot be read or created here ({reason}); "
        f"set {FOLDER} to a folder that you own"
    )


def sign(content: bytes) -> tuple[str, str]:
    """The public key of this user and the signature of the content, both in base64. Raises EngineError as `own_key`."""
    key = own_key()
    return public_text(key.public_key()), _text(key.sign(content))


def is_signed(content: bytes, public: str, signature: str) -> bool:
    """Whether the signature is valid for the content and the public key. Both are in base64."""
    try:
        key, value = base64.b64decode(public, validate=True), base64.b64decode(signature, validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(value, content)
    except (InvalidSignature, ValueError):  # wrong signature, invalid base64 or invalid key
        return False
    return (_text(key), _text(value)) == (public, signature)  # base64 can encode the same bytes in several ways


def trusted_keys() -> set[str]:
    """The trusted public keys in base64: that of this user, and those in the folder `TRUSTED`.

    Raises EngineError as `own_key`, and for a file in the folder that cannot be read.
    """
    folder, keys, file = key_folder(), set[str](), None
    try:
        if (folder / KEY).exists():
            keys.add(public_text(own_key().public_key()))
        for file in sorted((folder / TRUSTED).glob("*.pub")):
            keys.add(file.read_text("ascii").strip())
    except OSError as error:
        raise _unusable(error) from error
    except EngineError:  # of the own key; it is a ValueError too
        raise
    except ValueError as error:
        raise EngineError(f"{file}: not a public key ({error}); delete it") from error
    return keys


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as text: base64 of its 32 bytes."""
    return _text(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _create_key(file: Path) -> None:
    """Writes a new key that only this user can read. A key that another process creates meanwhile is kept."""
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, partial = tempfile.mkstemp(dir=file.parent)  # readable by its owner only
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
        with suppress(FileExistsError):
            os.link(partial, file)
    finally:
        os.unlink(partial)
