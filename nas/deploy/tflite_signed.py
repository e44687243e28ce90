"""Names inside a TFLite file: the signature by which an application calls it, and metadata.

The converter gives both to SavedModels alone, not to frozen functions, so they are added to its flatbuffer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nas.deploy.metadata import KEY, SIGNATURE, Metadata
from nas.errors import DecodeError
from nas.networks.tflite import ConversionError, order_of_answers, order_of_inputs

_IDENTIFIER: Final = b"TFL3"
_DAMAGED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, struct.error)
_ALIGNED: Final = 16  # bytes: what the schema asks of weights (force_align), and vector units of some devices need


def signed(content: bytes, metadata: Metadata) -> bytes:
    """A TFLite file with the signature ``serving_default`` (``image`` to ``probabilities``) and with ``metadata``.

    With a second input the signature has ``landmarks`` as well, with a second answer, or another one, ``values``.

    Args:
        content: with one subgraph, as :func:`nas.networks.tflite.to_tflite` makes it.
        metadata: kept under the name :data:`nas.deploy.metadata.KEY`.

    Raises:
        DecodeError: ``content`` is no TFLite file.
        ConversionError: its inputs or outputs are not those that ``metadata`` tells of.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, text = _unpacked(content), metadata.to_json()
    graph = model.subgraphs[0]
    inputs = _named(schema, graph, graph.inputs, order_of_inputs, metadata.inputs)
    outputs = _named(schema, graph, graph.outputs, order_of_answers, metadata.outputs)
    model.signatureDefs = [schema.SignatureDefT(inputs, outputs, SIGNATURE.encode(), 0)]
    model.buffers.append(schema.BufferT(data=np.frombuffer(text.encode(), np.uint8)))
    entry = schema.MetadataT(KEY.encode(), len(model.buffers) - 1)
    model.metadata = [*(m for m in model.metadata or () if m.name != entry.name), entry]
    model.description = b"exported by nanosynth"
    for buffer in model.buffers:
        buffer.Pack = _Packed(buffer, schema).pack
    builder = flatbuffers.Builder(len(content) + len(text) + 4096)
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


def _named(
    schema: Any, graph: Any, tensors: Sequence[int], order: Callable[[list[str]], list[int]], names: Sequence[str]
) -> list[Any]:
    """One entry of a signature for each of ``tensors``, which are told apart by what the converter called them."""
    if len(tensors) != len(names):
        raise ConversionError(f"{len(tensors)} tensors for {' and '.join(names)}: another network's file")
    places = order([bytes(graph.tensors[t].name).decode() for t in tensors])
    return [schema.TensorMapT(name.encode(), int(tensors[i])) for i, name in zip(places, names, strict=True)]


def _unpacked(content: bytes) -> Any:
    """The model as objects.  Raises DecodeError for what is no TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != _IDENTIFIER:
        raise DecodeError("not a TFLite file")
    try:
        return schema.ModelT.InitFromPackedBuf(content)
    except _DAMAGED as error:
        raise DecodeError(f"a damaged TFLite file ({error}); export it again") from error
