"""What an engine is, in words that are checked before it is run: NAME.engine.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dcfnet.engines import signing
from dcfnet.engines.builder import Binding
from dcfnet.engines.options import BuildOptions
from dcfnet.errors import ConfigError, EngineError

FORMAT = "dcfnet-engine-1"


@dataclass(frozen=True)
class Passport:
    """One engine.

    engine_sha256, onnx_sha256: of the files. weights_sha256: of the weights the model was made from. flavour, version:
    of the TensorRT that built it. built_on: compute capability of the GPU there, cuda and driver: versions there; ""
    where it was built without. inputs, outputs: as the network had them. config: the tracker's. calibration: what the
    ranges of an int8 model were taken from. verification: what `dcfnet-export --verify` found. made_by: this package.
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
        """Hash of everything that makes one engine another: two passports of one key are of engines that can stand in
        for each other.
        """
        asked = (self.onnx_sha256, self.flavour, self.version, self.built_on, self.precision, self.options.to_mapping())
        return hashlib.sha256(_canonical(asked)).hexdigest()

    def signed(self) -> bytes:
        """The file: the passport, and this user's signature of it. Raises EngineError where there is no key to use."""
        content = dataclasses.asdict(self)
        public, signature = signing.sign(_canonical(content))
        document = {"format": FORMAT, "passport": content, "key": public, "signature": signature}
        return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def read(cls, content: bytes, name: str) -> Passport:
        """The passport in a file, once its signature holds and is of a trusted key.

        Raises EngineError saying what is wrong with it; `name` stands in the message.
        """
        document = _document(content, name)
        public, signature = str(document["key"]), str(document["signature"])
        if not signing.is_signed(_canonical(document["passport"]), public, signature):
            raise EngineError(f"{name}: altered since it was signed (its signature does not hold); build it anew")
        if public not in signing.trusted_keys():
            raise EngineError(
                f"{name}: signed by {public}, whom nobody trusts here; build it anew, or, where you know whose key "
                f"that is, put it into a file {signing.key_folder() / signing.TRUSTED}/NAME.pub"
            )
        return cls.of(document["passport"], name)

    @classmethod
    def of(cls, values: Any, name: str) -> Passport:
        """From the mapping in a file. Raises EngineError naming what it lacks, and what nobody reads."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        given = set(values) if isinstance(values, Mapping) else set()
        if given != known:
            parts = {"lacks": known - given, "has": given - known}
            told = "; ".join(f"{verb} {', '.join(sorted(names))}" for verb, names in parts.items() if names)
            raise EngineError(f"{name}: not a passport of this version: it {told}; build the engine anew")
        try:
            tensors = {
                end: tuple(Binding(row["name"], row["dtype"], tuple(row["shape"])) for row in values[end])
                for end in ("inputs", "outputs")
            }
            return cls(**{**values, **tensors, "options": BuildOptions.from_mapping(values["options"])})
        except (ConfigError, KeyError, TypeError) as error:
            raise EngineError(f"{name}: not a usable passport ({error}); build the engine anew") from error


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _document(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
        found = document.get("format") if isinstance(document, dict) else None
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{name}: not a passport ({error}); build the engine anew") from error
    if found != FORMAT:
        raise EngineError(f"{name}: format {found!r}, this version reads {FORMAT!r}; build the engine anew")
    lacking = sorted({"passport", "key", "signature"} - set(document))
    if lacking:
        raise EngineError(f"{name}: lacks {', '.join(lacking)}: it is not signed; build the engine anew")
    return dict(document)


def _canonical(content: Any) -> bytes:
    """The same bytes for the same values, whatever their order: what is signed."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
