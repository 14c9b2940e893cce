"""Dependencies of handlers that the container made."""

from typing import Annotated, TypeAlias, TypeVar

from litestar.di import Dependency
from litestar.params import SkipValidationMarker

_T = TypeVar("_T")

# A dependency by its name. It is not validated at each request, because msgspec does
# not accept a subclass of an attrs class, and a measured use case is one; a test checks
# that each handler gets the type that it names.
Wired: TypeAlias = Annotated[_T, Dependency(kind="named"), SkipValidationMarker()]
