"""Pictures and PDFs that tests draw."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture(seed: int, *, size: int = 64, kind: str = "PNG") -> bytes:
    """Return a picture of coarse fields; the same seed in another size is the same picture."""
    fields = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(fields).resize((size, size), Image.Resampling.NEAREST)
    written = io.BytesIO()
    image.save(written, kind)
    return written.getvalue()


def pdf(*texts: str) -> bytes:
    """Return a PDF with one page a text."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    kids = []
    for text in texts:
        content = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
        number = len(objects) + 1
        kids.append(b"%d 0 R" % number)
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources"
            b"<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>" % (number + 1)
        )
        objects.append(b"<</Length %d>>stream\n%b\nendstream" % (len(content), content))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%b]>>" % (len(kids), b" ".join(kids))
    written, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(written))
        written += b"%d 0 obj%b endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        written
        + b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
        % (len(objects) + 1, table, len(objects) + 1, len(written))
    )
