"""Names inside a TFLite file: the signature by which an application calls it, and metadata.

The converter gives both to SavedModels alone, not to frozen functions, so they are added to its flatbuffer.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

from nas.deploy.metadata import INPUT, KEY, OUTPUT, SIGNATURE
from nas.errors import DecodeError

_IDENTIFIER: Final = b"TFL3"
_DAMAGED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, struct.error)
_ALIGNED: Final = 16  # bytes: what the schema asks of weights (force_align), and vector units of some devices need


def signed(content: bytes, metadata: str) -> bytes:
    """A TFLite file with the signature ``serving_default`` (``image`` to ``probabilities``) and with ``metadata``.

    Args:
        content: with one subgraph, of one input and one output.
        metadata: kept under the name :data:`nas.deploy.metadata.KEY`.

    Raises:
        DecodeError: ``content`` is no TFLite file.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = _unpacked(content)
    graph = model.subgraphs[0]
    inputs, outputs = _names(schema, INPUT, graph.inputs[0]), _names(schema, OUTPUT, graph.outputs[0])
    model.signatureDefs = [schema.SignatureDefT(inputs, outputs, SIGNATURE.encode(), 0)]
    model.buffers.append(schema.BufferT(data=np.frombuffer(metadata.encode(), np.uint8)))
    entry = schema.MetadataT(KEY.encode(), len(model.buffers) - 1)
    model.metadata = [*(m for m in model.metadata or () if m.name != entry.name), entry]
    model.description = b"exported by nanosynth"
    for buffer in model.buffers:
        buffer.Pack = _Packed(buffer, schema).pack
    builder = flatbuffers.Builder(len(content) + len(metadata) + 4096)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def metadata_of(content: bytes) -> bytes:
    """The text that :func:`signed` wrote.  Raises DecodeError where there is none."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content)
        entries = (model.Metadata(i) for i in range(model.MetadataLength()))
        found = next((e.Buffer() for e in entries if e.Name() == KEY.encode()), None)
        if found is not None:
            return bytes(model.Buffers(found).DataAsNumpy())
    except _DAMAGED as error:
        raise DecodeError(f"a damaged TFLite file ({error}); export it again") from error
    raise DecodeError("a TFLite file without metadata of this engine; export it again")


class _Packed:
    """Writes one buffer at an aligned place; the generated code forgets what the schema says of that."""

    def __init__(self, buffer: Any, schema: Any) -> None:
        self._buffer, self._schema = buffer, schema

    def pack(self, builder: Any) -> int:
        """The buffer's place in ``builder``."""
        data = self._buffer.data
        if data is not None:
            raw = np.ascontiguousarray(data, np.uint8).tobytes()
            builder.StartVector(1, len(raw), _ALIGNED)
            builder.head -= len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            data = builder.EndVector()
        self._schema.BufferStart(builder)
        if data is not None:
            self._schema.BufferAddData(builder, data)
        place: int = self._schema.BufferEnd(builder)
        return place


def _names(schema: Any, name: str, tensor: int) -> list[Any]:
    return [schema.TensorMapT(name.encode(), int(tensor))]


def _unpacked(content: bytes) -> Any:
    """The model as objects.  Raises DecodeError for what is no TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != _IDENTIFIER:
        raise DecodeError("not a TFLite file")
    try:
        return schema.ModelT.InitFromPackedBuf(content)
    except _DAMAGED as error:
        raise DecodeError(f"a damaged TFLite file ({error}); export it again") from error
