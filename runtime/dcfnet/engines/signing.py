"""Who built an engine: an Ed25519 key of each user, made on first use, and the keys that are trusted here.

A hash beside a file proves nothing, whoever alters the one alters the other. An engine is an executable, so it is run
only where its passport is signed by this user, or by a key that the user has put into the folder of trusted ones.
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
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise MissingDependencyError("cryptography or platformdirs", "rtx", str(error)) from error

FOLDER = "DCFNET_KEYS"  # environment variable: another place for the keys, of a service that has no home, say
KEY = "signing_key.pem"
TRUSTED = "trusted"  # *.pub in it: public keys, one a file, as `public_text` writes them


def key_folder() -> Path:
    """Where this user's keys lie."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else platformdirs.user_config_path("dcfnet")


def own_key() -> Ed25519PrivateKey:
    """This user's key, made where there is none. Raises EngineError for one that cannot be read or written."""
    file = key_folder() / KEY
    try:
        if not file.exists():
            _make(file)
        content = file.read_bytes()
    except OSError as error:
        raise _unusable(error) from error
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise EngineError(f"{file}: not a usable signing key ({error}); remove it, and a new one is made") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EngineError(f"{file}: not an Ed25519 key; remove it, and a new one is made")
    return key


def _unusable(error: OSError) -> EngineError:
    told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return EngineError(
        f"{key_folder()}: no signing key can be read or made there ({told}); {FOLDER} must name a folder of yours"
    )


def sign(content: bytes) -> tuple[str, str]:
    """This user's public key and its signature of the content, base64 each. Raises EngineError as `own_key`."""
    key = own_key()
    return public_text(key.public_key()), _text(key.sign(content))


def is_signed(content: bytes, public: str, signature: str) -> bool:
    """Whether the signature is that of the content by the public key, base64 both."""
    try:
        key, value = base64.b64decode(public, validate=True), base64.b64decode(signature, validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(value, content)
    except (InvalidSignature, ValueError):  # another content or key, and what is no base64 or no key at all
        return False
    return (_text(key), _text(value)) == (public, signature)  # base64 has more than one word for the same bytes


def trusted_keys() -> set[str]:
    """Public keys whose engines are run here, base64: this user's, and those in the folder `TRUSTED`.

    Raises EngineError as `own_key`, and for a file there that cannot be read.
    """
    folder, file = key_folder(), None
    try:
        keys = {public_text(own_key().public_key())} if (folder / KEY).exists() else set()
        for file in sorted((folder / TRUSTED).glob("*.pub")):
            keys.add(file.read_text("ascii").strip())
    except OSError as error:
        raise _unusable(error) from error
    except ValueError as error:
        raise EngineError(f"{file}: not a public key ({error}); remove it") from error
    return keys


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as one word: base64 of its 32 bytes."""
    return _text(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _make(file: Path) -> None:
    """Writes a new key that only this user can read; one that somebody else makes meanwhile stays."""
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, partial = tempfile.mkstemp(dir=file.parent)  # readable by its owner alone
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
        with suppress(FileExistsError):
            os.link(partial, file)
    finally:
        os.unlink(partial)
