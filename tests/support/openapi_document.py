"""The OpenAPI document that docs/openapi.json keeps: `make openapi` writes it anew."""

import json
from pathlib import Path
from typing import Any, Final

from payments_service.http.app import described

KEPT: Final = Path(__file__).parents[2] / "docs" / "openapi.json"


def text_of(document: dict[str, Any]) -> str:
    """Return a document as it is kept."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    KEPT.write_text(text_of(described()))
