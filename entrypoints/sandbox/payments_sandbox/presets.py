"""The initial objects of a sandbox."""

from collections.abc import Callable
from typing import Final

from payments_sandbox import shapes
from payments_sandbox.engine import Engine, Preset

# Product, name, and monthly price in euro cents.
CATALOG: Final = (("basic", "Basic", 900), ("pro", "Pro", 1900))


def catalog(engine: Engine) -> None:
    """Create two products with monthly prices: `prod_basic` and `prod_pro`."""
    world = engine.world
    for name, label, cents in CATALOG:
        price_id = f"price_{name}_monthly"
        world.create(
            shapes.product(
                world, id=f"prod_{name}", name=label, default_price=price_id
            ),
            "product.created",
        )
        world.create(
            shapes.price(
                world,
                cents,
                id=price_id,
                currency="eur",
                lookup_key=f"{name}_monthly",
                product=f"prod_{name}",
                recurring=shapes.recurring("month", 1),
            ),
            "price.created",
        )


def forwarding(url: str, secret: str, version: str | None) -> Preset:
    """Return a preset that sends every event to an address, signed with this secret."""

    def preset(engine: Engine) -> None:
        engine.add_endpoint(url, secret, version)

    return preset


def both(*presets: Callable[[Engine], None]) -> Preset:
    def preset(engine: Engine) -> None:
        for each in presets:
            each(engine)

    return preset
