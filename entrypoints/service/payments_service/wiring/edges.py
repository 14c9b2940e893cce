"""Providers other than stores and Stripe: clocks, ids, keys, the policy."""

import uuid

from payments_adapters.jwt import PassKeys, PassSigning
from payments_adapters.stripe import StripeEvents
from payments_core.policy import Policy
from payments_core.ports import (
    Clock,
    EventReader,
    NewId,
    PassSigner,
    SystemClock,
    TokenVerifier,
)
from payments_service.clocks import utc_now
from payments_service.refreshing import Refreshing
from payments_service.settings import Settings
from payments_service.wiring import Providers


def edges(
    settings: Settings, system_clock: SystemClock, refreshing: Refreshing
) -> Providers:
    def clock() -> Clock:
        return utc_now

    def real_clock() -> SystemClock:
        return system_clock

    def policy() -> Policy:
        return Policy(
            grace=settings.grace,
            livemode=settings.livemode,
            catalogue=settings.catalogue,
        )

    def verifier() -> TokenVerifier:
        return refreshing.verifier

    def pass_signer() -> PassSigner:
        keys = settings.access_pass_keys
        return PassSigning(
            PassKeys.from_jwks(keys) if keys else None, settings.access_pass_issuer
        )

    def new_id() -> NewId:
        return uuid4_text

    def event_reader() -> EventReader:
        return StripeEvents(refreshing.signatures, livemode=settings.livemode)

    return {
        Clock: clock,
        SystemClock: real_clock,
        PassSigner: pass_signer,
        NewId: new_id,
        Policy: policy,
        TokenVerifier: verifier,
        EventReader: event_reader,
    }


def uuid4_text() -> str:
    return str(uuid.uuid4())
