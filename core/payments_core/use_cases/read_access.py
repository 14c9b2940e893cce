"""Read what a user has access to, and the catalogue."""

from datetime import datetime

import attrs

from payments_core.access import NO_ACCESS, Access, AccessTo, access_of
from payments_core.account import PaymentAccount
from payments_core.account_version import AnswerVersion
from payments_core.caller import Caller
from payments_core.catalogue import NO_CATALOGUE, Catalogue
from payments_core.entitlement import Standing
from payments_core.errors import FeatureNotFound
from payments_core.identity import Email, UserId
from payments_core.policy import Policy
from payments_core.ports import Clock
from payments_core.use_cases.accounts import GetAuthorizedAccount
from payments_core.use_cases.references import feature_name


@attrs.frozen(kw_only=True)
class UserAccess:
    """What a user has access to at a time, by a version of the catalogue."""

    user_id: UserId
    standing: Standing
    entitled_until: datetime | None
    access: Access
    catalogue: str
    version: AnswerVersion


@attrs.frozen
class ReadAccess:
    reach: GetAuthorizedAccount
    clock: Clock
    policy: Policy

    async def __call__(self, user: UserId | Email, *, caller: Caller) -> UserAccess:
        """Return what a user has access to now, by product and by feature.

        Raises:
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        return self.of(await self.reach(user, caller=caller, reading=True))

    def of(self, account: PaymentAccount) -> UserAccess:
        verdict, now, policy = account.verdict, self.clock(), self.policy
        grants, end = verdict.grants, verdict.entitled_until(policy)
        ends = [it.until(policy) for it in grants]
        if end is not None:
            ends.append(end)
        return UserAccess(
            user_id=account.user_id,
            standing=verdict.standing(now, policy),
            entitled_until=end,
            access=access_of(grants, policy, now),
            catalogue=(policy.catalogue or NO_CATALOGUE).version,
            version=AnswerVersion.of(account.version, ends, now),
        )

    async def to_feature(
        self, user: UserId | Email, feature: str, *, caller: Caller
    ) -> tuple[UserAccess, AccessTo]:
        """Return a user's access now, and the access to one feature.

        Without a catalogue every product is a feature.

        Raises:
            InvalidValue: it cannot be a feature's name.
            FeatureNotFound: the feature is not in the catalogue.
            AccountNotFound, EmailTaken: see `GetAuthorizedAccount`.
        """
        feature_name("feature", feature)
        found = await self(user, caller=caller)
        features = found.access.features
        if self.policy.catalogue is not None and feature not in features:
            raise FeatureNotFound
        return found, features.get(feature, NO_ACCESS)


@attrs.frozen
class ReadCatalogue:
    policy: Policy

    def __call__(self) -> tuple[Catalogue, Policy]:
        """Return the catalogue, and the policy by which access ends."""
        return self.policy.catalogue or NO_CATALOGUE, self.policy
