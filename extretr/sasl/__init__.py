"""
SASL mechanisms (RFC 4422): what is said after ``AUTH``, as raw octets.

A mechanism knows nothing of POP3 nor of base64; who has the connection carries
challenges to it and responses from it.  The client's sides are here: `Plain` (RFC
4616), `ScramSha256` (RFC 5802, RFC 7677), `OAuthBearer` (RFC 7628), `XOAuth2` and
`External` (RFC 4422).  The server's are in `extretr.sasl.server` and, of SCRAM, in
`extretr.sasl.scram`; what binds both to their TLS is in `extretr.sasl.binding`.
"""

from extretr.sasl.bearer import OAuthBearer, XOAuth2
from extretr.sasl.client import External, Mechanism, Plain, ScramSha256
from extretr.sasl.errors import SaslError

__all__ = [
    "External",
    "Mechanism",
    "OAuthBearer",
    "Plain",
    "SaslError",
    "ScramSha256",
    "XOAuth2",
]
