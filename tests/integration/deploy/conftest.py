"""Each overlay alone and with all components; each component alone."""

import pytest

from support.manifests import VARIANTS, Manifests, manifests


@pytest.fixture(params=VARIANTS, ids=lambda it: " with ".join(filter(None, it)))
def rendered(request: pytest.FixtureRequest) -> Manifests:
    overlay, component = request.param
    return manifests(overlay, *([component] if component else []))


@pytest.fixture
def production() -> Manifests:
    return manifests("production")
