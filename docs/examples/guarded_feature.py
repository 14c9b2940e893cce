"""Guard a feature, and test it without a service.

Needs `payments-client`. An application has a `LocalCopy` where this has the fake.
"""

import asyncio

from payments_client import LocalCopy, Unavailable
from payments_client.testing import FakePayments


async def may_report(copy: LocalCopy | FakePayments, user: str) -> bool:
    try:
        return await copy.check(user, "reports")
    except Unavailable:
        # Neither the copy nor the service knows this user now.
        return False


async def main() -> None:
    fake = FakePayments()
    fake.grant("ada", "reports")
    for user in ("ada", "eve"):
        # prints: ada may report: True
        # prints: eve may report: False
        print(f"{user} may report: {await may_report(fake, user)}")
    fake.revoke("ada", "reports")
    # prints: and now: False
    print(f"and now: {await may_report(fake, 'ada')}")


if __name__ == "__main__":
    asyncio.run(main())
