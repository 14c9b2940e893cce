"""E-mails as other systems write them.

An international domain has two spellings: with its own letters, and in ASCII ("xn--").
Both are one domain. Source: RFC 5891 (IDNA 2008) and UTS 46, non-transitional.
"""

import attrs
import idna

from payments_core.identity import Email


def read_email(text: str) -> Email:
    """Read an e-mail; its key has the domain in ASCII.

    A domain that is not valid in IDNA 2008, such as one with emoji, is compared as
    written.

    Raises:
        InvalidValue: see `Email.of`.
    """
    email = Email.of(text)
    if email.key.isascii():
        return email
    local, _, domain = email.key.rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True, transitional=False)
    except idna.IDNAError:
        return email
    return attrs.evolve(email, key=f"{local}@{ascii_domain.decode()}")
