"""The passport of an engine, NAME.engine.json: a signed description that is checked before the engine runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dcfnet.engines.builder import Binding
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, EngineError

FORMAT = "dcfnet-engine-1"


@dataclass(frozen=True)
class Passport:
    """The description of one engine.

    engine_sha256, onnx_sha256: hashes of the files. weights_sha256: hash of the weights that the model was exported
    from. flavour, version: the TensorRT that built it. built_on: compute capability of the GPU that it was built on;
    cuda, driver: the versions there; all "" if it was built without a GPU. inputs, outputs: bindings of the network.
    config: constants of the tracker. calibration: source of the ranges of an int8 model. verification: result of
    `dcfnet-export --verify`. made_by: name and version of this package.
    """

    engine_sha256: str
    onnx_sha256: str
    weights_sha256: str
    flavour: str
    version: str
    built_on: str
    cuda: str
    driver: str
    precision: str
    options: BuildOptions
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    config: Mapping[str, Any]
    made_by: str
    calibration: Mapping[str, Any] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        """Hash of all inputs of the build. Engines with equal keys can replace each other."""
        inputs = (
            self.onnx_sha256,
            self.flavour,
            self.version,
            self.built_on,
            self.precision,
            self.options.to_mapping(),
        )
        return hashlib.sha256(_canonical(inputs)).hexdigest()

    def signed(self) -> bytes:
        """The content of the file, with the signature of this user. Raises EngineError if there is no usable key."""
        content = dataclasses.asdict(self)
        from dcfnet.engines import signing  # needs cryptography, which reading other files does not

        public, signature = signing.sign(_canonical(content))
        document = {"format": FORMAT, "passport": content, "key": public, "signature": signature}
        return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def read(cls, content: bytes, name: str) -> Passport:
        """The passport from the content of a file, if its signature is valid and its key is trusted.

        name: for messages. Raises EngineError with the problem and the remedy.
        """
        from dcfnet.engines import signing

        document = _document(content, name)
        public, signature = str(document["key"]), str(document["signature"])
        if not signing.is_signed(_canonical(document["passport"]), public, signature):
            raise EngineError(f"{name}: changed after it was signed: its signature is invalid; build the engine again")
        if public not in signing.trusted_keys():
            raise EngineError(
                f"{name}: signed with the key {public}, which is not trusted here; build the engine again, or, if you "
                f"know the owner of the key, save it as {signing.key_folder() / signing.TRUSTED}/NAME.pub"
            )
        return cls.of(document["passport"], name)

    @classmethod
    def of(cls, values: Any, name: str) -> Passport:
        """The passport from a mapping. Raises EngineError that names missing and unknown fields."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        present = set(values) if isinstance(values, Mapping) else set()
        if present != known:
            parts = {"lacks": known - present, "has unknown": present - known}
            problem = "; ".join(f"{verb} {', '.join(sorted(names))}" for verb, names in parts.items() if names)
            raise EngineError(f"{name}: not a passport of this version: it {problem}; build the engine again")
        try:
            tensors = {
                end: tuple(Binding(row["name"], row["dtype"], tuple(row["shape"])) for row in values[end])
                for end in ("inputs", "outputs")
            }
            return cls(**{**values, **tensors, "options": BuildOptions.from_mapping(values["options"])})
        except (ConfigError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{name}: not a valid passport ({error}); build the engine again") from error


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _document(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
        found = document.get("format") if isinstance(document, dict) else None
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{name}: not a passport ({error}); build the engine again") from error
    if found != FORMAT:
        raise EngineError(f"{name}: passport format {found!r}, this version reads {FORMAT!r}; build the engine again")
    missing = sorted({"passport", "key", "signature"} - set(document))
    if missing:
        raise EngineError(f"{name}: lacks {', '.join(missing)}, so it is not signed; build the engine again")
    return dict(document)


def _canonical(content: Any) -> bytes:
    """The bytes that are signed: equal for equal values, in any order of their keys."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
