"""
Logs for machines: ``twistd --logger extretr.server.logs.json_lines``.
"""

import sys
from typing import Any

from twisted.logger import ILogObserver, jsonFileLogObserver


def json_lines() -> ILogObserver:
    """
    Give an observer that writes each event to the standard output, as JSON in a line.
    """
    output: Any = sys.__stdout__
    return jsonFileLogObserver(output, "")
