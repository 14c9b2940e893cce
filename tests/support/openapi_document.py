"""The OpenAPI document in docs/openapi.json: `make openapi` writes it."""

import json
from pathlib import Path
from typing import Any, Final

from payments_service.http.app import described

KEPT: Final = Path(__file__).parents[2] / "docs" / "openapi.json"


def text_of(document: dict[str, Any]) -> str:
    """Return the stored document."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    KEPT.write_text(text_of(described()))
