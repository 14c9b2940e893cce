"""Settings that are documents: the catalogue and the delivery endpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from payments_core.catalogue import Catalogue
from payments_service.settings.reader import file_text

if TYPE_CHECKING:
    from payments_adapters.webhooks_out import DeliveryEndpoint


def catalogue(text: str) -> Catalogue:
    # Imported here: `--help` reads no settings.
    from payments_service.catalogue_file import read_catalogue  # noqa: PLC0415

    return read_catalogue(text)


def delivery_endpoints(
    env: Mapping[str, str], text: str
) -> "tuple[DeliveryEndpoint, ...]":
    from payments_adapters.webhooks_out import read_endpoints  # noqa: PLC0415  # see above

    # Files that the document names are in the same folder.
    folder = Path(env.get("PAYMENTS_WEBHOOKS_OUT_FILE") or ".").parent

    def read_file(path: str) -> str:
        return file_text(folder / path, "it")

    return read_endpoints(text, read_file)
