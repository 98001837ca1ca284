"""Pictures of LlamaIndex's nodes: the store keeps their bytes once, or their path."""

import base64
from collections.abc import Callable

from llama_index.core.schema import BaseNode, ImageNode, MediaResource, Node

from semantic_core.api import InvalidInputError, Media, StoredMedia, UnreadableFileError


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
