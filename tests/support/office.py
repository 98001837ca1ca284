"""Files of other programs, as small as they can be; each says ``The cat sat on the mat.``"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping

from support.pictures import pdf

TEXT = "The cat sat on the mat."

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_OFFICE = "http://schemas.openxmlformats.org"
_PART = "application/vnd.openxmlformats-officedocument"
_RELATED = f"{_OFFICE}/officeDocument/2006/relationships"


def files() -> dict[str, bytes]:
    """Return a file of each kind by its suffix."""
    return {
        ".pdf": pdf(TEXT),
        ".docx": docx(f"<w:p><w:r><w:t>{TEXT}</w:t></w:r></w:p>"),
        ".pptx": _pptx(),
        ".xlsx": _xlsx(),
        ".epub": _epub(),
        ".ipynb": _notebook(),
    }


def docx(body: str) -> bytes:
    """Return a document of Word with this body."""
    main = f'<w:document xmlns:w="{_OFFICE}/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>'
    return _package("word/document.xml", f"{_PART}.wordprocessingml.document.main+xml", main, {})


def _pptx() -> bytes:
    names = f'xmlns:p="{_OFFICE}/presentationml/2006/main" xmlns:a="{_OFFICE}/drawingml/2006/main" xmlns:r="{_RELATED}"'
    slide = (
        f"<p:sld {names}><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{TEXT}</a:t></a:r></a:p>"
        "</p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )
    main = f'<p:presentation {names}><p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst></p:presentation>'
    others = {
        "ppt/slides/slide1.xml": _XML + slide,
        "ppt/_rels/presentation.xml.rels": _relation("slide", "slides/slide1.xml"),
    }
    return _package(
        "ppt/presentation.xml", f"{_PART}.presentationml.presentation.main+xml", main, others
    )


def _xlsx() -> bytes:
    space = f"{_OFFICE}/spreadsheetml/2006/main"
    main = (
        f'<workbook xmlns="{space}" xmlns:r="{_RELATED}"><sheets><sheet name="S" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>"
    )
    sheet = (
        f'<worksheet xmlns="{space}"><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>{TEXT}</t></is>'
        "</c></row></sheetData></worksheet>"
    )
    others = {
        "xl/worksheets/sheet1.xml": _XML + sheet,
        "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
    }
    return _package("xl/workbook.xml", f"{_PART}.spreadsheetml.sheet.main+xml", main, others)


def _epub() -> bytes:
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    book = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Cats</dc:title></metadata><manifest>'
        '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest><spine>'
        '<itemref idref="c"/></spine></package>'
    )
    page = f'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>{TEXT}</p></body></html>'
    return _zip(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": _XML + container,
            "c.opf": _XML + book,
            "c.xhtml": _XML + page,
        }
    )


def _notebook() -> bytes:
    cell = {"id": "a", "cell_type": "markdown", "metadata": {}, "source": [TEXT]}
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    ).encode()


def _package(path: str, kind: str, main: str, others: Mapping[str, str]) -> bytes:
    types = (
        f'<Types xmlns="{_OFFICE}/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/{path}" ContentType="{kind}"/></Types>'
    )
    return _zip(
        {
            "[Content_Types].xml": _XML + types,
            "_rels/.rels": _relation("officeDocument", path),
            path: _XML + main,
            **others,
        }
    )


def _relation(kind: str, target: str) -> str:
    return (
        f'{_XML}<Relationships xmlns="{_OFFICE}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{_RELATED}/{kind}" Target="{target}"/></Relationships>'
    )


def _zip(parts: Mapping[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return written.getvalue()
