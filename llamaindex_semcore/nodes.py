"""LlamaIndex nodes as chunks, and chunks as nodes again, exactly as they were."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from semantic_core.api import (
    RESULT_KEY,
    Chunk,
    EmbeddingSpec,
    FoundMetadata,
    InvalidInputError,
    Media,
    StoredChunk,
    StoredMedia,
    UnreadableFileError,
)

# In a chunk's payload, where other adapters keep other things.
_FIELDS, _KIND, _BYTES = "llama_index", "llama_index_class", "llama_index_bytes"

# LlamaIndex leaves the bytes of these out of its own JSON.
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")

_KINDS: dict[str, type[BaseNode]] = {
    kind.class_name(): kind
    for kind in (TextNode, ImageNode, IndexNode, Node, Document, ImageDocument)
}

# What a chunk holds by itself. A Document repeats its text beside its text_resource.
_ELSEWHERE = {"embedding": True, "metadata": True, "text": True}
_TEXT_RESOURCE_ELSEWHERE = _ELSEWHERE | {"text_resource": {"text": True}}

FOREIGN_EMBEDDER_HINT = (
    "In LlamaIndex: SemcoreVectorStore(..., collection='...', "
    "spec=EmbeddingSpec.external('its name'))."
)


def all_fit(chunks: list[Chunk], spec: EmbeddingSpec) -> bool:
    """Return whether every given vector has the size of a spec."""
    given = (chunk.vector for chunk in chunks if chunk.vector is not None)
    return spec.is_external or all(len(vector) == spec.dimensions for vector in given)


def to_chunk(node: BaseNode, *, takes_media: bool = False) -> Chunk:
    """Return a node as the chunk to save.

    Its text is what keyword search sees, its EMBED-mode content is what is embedded. A node
    without an embedding, or with the empty one of `DeferredEmbedding`, has no vector yet. A
    picture is embedded together with the text, where the model takes it.

    Raises:
        InvalidInputError: the node cannot be written as JSON.
    """
    if RESULT_KEY in node.metadata.keys():  # noqa: SIM118  # what is stored, not what a hit tells
        own = {key: value for key, value in node.metadata.items() if key != RESULT_KEY}
        node = node.model_copy(update={"metadata": own})
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    media = picture_of(node) if takes_media else ()
    return Chunk(
        id=node.node_id,
        # A node without a source is its own document: so does IngestionPipeline name it when
        # it deletes an older version.
        document_id=node.ref_doc_id or node.node_id,
        text=text,
        metadata=node.metadata,
        vector_source=node.get_content(metadata_mode=MetadataMode.EMBED),
        vector=node.embedding or None,
        payload=_dump(node, has_text=bool(text), media=media),
        media=media,
    )


def to_node(
    chunk: StoredChunk,
    info: dict[str, Any] | None = None,
    *,
    read: Callable[[StoredMedia], bytes] | None = None,
    **changed: Any,
) -> BaseNode:
    """Return the node that a chunk was saved from, with the information on a search result.

    A chunk that came in by another way than LlamaIndex becomes a TextNode of its document, or an
    ImageNode. ``read`` returns the bytes of pictures; without it they are left out.
    ``changed`` are fields of the node that are others than they were.
    """
    kind, fields, media = _load(chunk)
    node = kind.from_dict(fields | {"metadata": chunk.metadata} | changed)
    _put_bytes(node, media)
    if read is not None and chunk.media and chunk.media[0].path is None:
        put_picture(node, chunk.media[0], read)
    if info is not None:
        # Not by assignment, which would copy it as a plain dict.
        node.__dict__["metadata"] = FoundMetadata(node.metadata, info)
    return node


def is_copied(chunk: StoredChunk) -> bool:
    """Return whether an index of LlamaIndex keeps its own copy of this node: Index and Image."""
    kind, *_ = _load(chunk)
    return kind.get_type() in (ObjectType.INDEX, ObjectType.IMAGE)


def _dump(node: BaseNode, *, has_text: bool, media: Sequence[Media]) -> str:
    """Return as JSON what a chunk does not hold by itself; its media are the node's picture."""
    is_plain = isinstance(node, TextNode) or not has_text
    left_out: Any = _ELSEWHERE if is_plain else _TEXT_RESOURCE_ELSEWHERE
    is_kept = any(is_kept_exactly(node, part) for part in media)
    if is_kept:
        left_out = left_out | {"image": True}
    kind = _class_name(node)
    try:
        fields = node.model_dump_json(exclude=left_out)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"Node {node.node_id!r} cannot be written as JSON: {error}. Nothing was saved."
        ) from error
    elsewhere = _bytes_of(node)
    if is_kept:
        elsewhere.pop("image_resource", None)
    tail = f',"{_BYTES}":{json.dumps(elsewhere)}' if elsewhere else ""
    return f'{{"{_KIND}":"{kind}","{_FIELDS}":{fields}{tail}}}'


def _bytes_of(node: BaseNode) -> dict[str, Any]:
    """Return the bytes of a node's media, and of the node that an IndexNode holds, as JSON has them."""
    found: dict[str, Any] = {}
    for name in _RESOURCES:
        data = getattr(getattr(node, name, None), "data", None)
        if data is not None:
            found[name] = data.decode("latin-1")  # base64, as a rule; whatever it is, exactly
    inner = getattr(node, "obj", None)
    if isinstance(inner, BaseNode) and (media := _bytes_of(inner)):
        found["obj"] = media
    return found


def _put_bytes(node: BaseNode, media: dict[str, Any]) -> None:
    for name, value in media.items():
        if isinstance(value, dict):
            _put_bytes(getattr(node, name), value)
        else:
            getattr(node, name).data = value.encode("latin-1")


def _class_name(node: BaseNode) -> str:
    """Return the name of LlamaIndex's own class that a node is of; a user's may be gone later."""
    for kind in type(node).__mro__:
        if issubclass(kind, BaseNode) and _KINDS.get(kind.class_name()) is kind:
            return kind.class_name()
    known = ", ".join(_KINDS)
    raise InvalidInputError(
        f"Node {node.node_id!r} is a {type(node).__name__}, which is none of: {known}. "
        "Nothing was saved."
    )


def _load(chunk: StoredChunk) -> tuple[type[BaseNode], dict[str, Any], dict[str, Any]]:
    """Return the class of a chunk's node, its fields but for the metadata, and its media's bytes."""
    payload = {} if chunk.payload is None else json.loads(chunk.payload)
    if _KIND not in payload:
        return _new_kind(chunk), _new_fields(chunk), {}
    kind, fields = _KINDS[payload[_KIND]], payload[_FIELDS]
    resource = fields.get("text_resource")
    if resource is not None:
        resource.setdefault("text", chunk.text)
    elif issubclass(kind, TextNode):
        fields["text"] = chunk.text
    return kind, fields, payload.get(_BYTES, {})


def _new_fields(chunk: StoredChunk) -> dict[str, Any]:
    relationships = {}
    if chunk.document_id not in (None, chunk.id):
        relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(
            node_id=chunk.document_id, node_type=ObjectType.DOCUMENT
        )
    fields: dict[str, Any] = {"id_": chunk.id, "text": chunk.text, "relationships": relationships}
    if _new_kind(chunk) is ImageNode:
        part = chunk.media[0]
        fields |= {"image_path": part.path, "image_mimetype": part.mime_type}
    return fields


def _new_kind(chunk: StoredChunk) -> type[TextNode]:
    is_picture = bool(chunk.media) and chunk.media[0].page is None
    return ImageNode if is_picture else TextNode


def picture_of(node: BaseNode) -> tuple[Media, ...]:
    """Return a node's picture: its bytes, or its path; a URL is not fetched.

    Raises:
        InvalidInputError: the bytes are no base64.
    """
    resource = getattr(node, "image_resource", None)
    path = getattr(node, "image_path", None) or getattr(resource, "path", None)
    if encoded := _encoded(node):
        try:
            return (Media(base64.b64decode(encoded, validate=True)),)
        except ValueError as error:
            raise InvalidInputError(
                f"The picture of node {node.node_id!r} is no base64. Nothing was saved."
            ) from error
    return (Media(path),) if path else ()


def is_kept_exactly(node: BaseNode, part: Media) -> bool:
    """Return whether the node's base64 can be made again of the bytes that the store keeps."""
    return isinstance(part.content, bytes) and base64.b64encode(part.content) == _encoded(node)


def put_picture(node: BaseNode, part: StoredMedia, read: Callable[[StoredMedia], bytes]) -> None:
    """Give a node the picture that the store keeps, unless it has one."""
    if not isinstance(node, ImageNode | Node) or _encoded(node) is not None:
        return
    try:
        encoded = base64.b64encode(read(part))
    except UnreadableFileError:  # its chunk was deleted meanwhile
        return
    if isinstance(node, ImageNode):
        node.image = encoded.decode()
    else:
        node.image_resource = node.image_resource or MediaResource(mimetype=part.mime_type)
        node.image_resource.data = encoded


def _encoded(node: BaseNode) -> bytes | None:
    """Return a node's picture in base64: an ImageNode has it itself, others have a resource."""
    if isinstance(node, ImageNode):
        return None if node.image is None else node.image.encode()
    data: bytes | None = getattr(getattr(node, "image_resource", None), "data", None)
    return data
