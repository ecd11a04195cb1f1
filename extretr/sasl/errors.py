"""
What goes wrong in a SASL mechanism.
"""

from extretr.errors import ExtRetrError


class SaslError(ExtRetrError):
    """
    A user or secret that the mechanism cannot carry, or a peer that breaks its rules.
    """


class NotAuthorized(SaslError):
    """
    A client that is somebody, and wants to act for somebody else.
    """
