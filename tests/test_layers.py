"""
Who may import whom: the ladder of docs/design.rst.
"""

import ast
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]

PURE = {"errors", "syntax", "wire", "offsets", "waiting"}
GROUND = {
    "zope.interface",
    "twisted.mail.interfaces",
    "twisted.python.components",
    "twisted.internet.defer",
}
STORES = GROUND | {"twisted.logger"}
SERVER = STORES | {
    "twisted.application.service",
    "twisted.cred",
    "twisted.internet.address",
    "twisted.internet.error",
    "twisted.internet.interfaces",
    "twisted.internet.protocol",
    "twisted.internet.task",
    "twisted.internet.tcp",
    "twisted.internet.threads",
    "twisted.mail",
    "twisted.python.failure",
    "twisted.python.threadpool",
}

CLIENT = {
    "twisted.application.internet",
    "twisted.internet.defer",
    "twisted.internet.endpoints",
    "twisted.internet.error",
    "twisted.internet.interfaces",
    "twisted.internet.protocol",
    "twisted.internet.ssl",
    "twisted.logger",
    "twisted.mail.pop3",
    "twisted.python.failure",
    "zope.interface",
}

#: A room, what of this package it may import, what of others, innermost first.
ROOMS = [
    ("errors", set(), set()),
    ("wire", set(), set()),
    ("syntax", {"errors"}, set()),
    ("offsets", {"errors", "wire"}, set()),
    ("waiting", set(), set()),
    ("interrupted", {"offsets"}, set()),
    ("coroutines", set(), {"twisted.internet.defer"}),
    ("interfaces", PURE, GROUND),
    ("message", {*PURE, "interfaces", "interrupted"}, GROUND),
    ("mailbox", {*PURE, "interfaces", "message"}, GROUND),
    ("stores", {*PURE, "coroutines", "interfaces", "message", "stores"}, STORES),
    (
        "server",
        {*PURE, "coroutines", "interfaces", "message", "mailbox", "sasl", "server"},
        SERVER,
    ),
    ("sasl", {"errors", "sasl"}, {"scramp"}),
    ("client", {*PURE, "sasl", "interfaces", "stores", "client"}, CLIENT),
    ("embedded", set(), set()),
    ("cli", {"cli", "client", "server.schemes"}, {"rich"}),
    ("tap", None, None),
    ("", {"interfaces", "mailbox"}, set()),
]

#: The one module that a library, or the reactor, is let into.
MADE_FOR = {
    "server.metrics": {"prometheus_client"},
    "server.monitor": {"twisted.web"},
    "server.proxied": {"twisted.protocols.policies"},
    "server.certificate_users": {"cryptography"},
    "server.sockets": {"twisted.internet.abstract", "twisted.protocols.tls"},
    "server.worker_link": {"twisted.protocols.amp"},
    "server.shared_brakes": {"twisted.protocols.amp"},
    "server.worker_process": {"twisted.internet.error"},
    "server.schemes": {"passlib"},
    "server.certificates": {"cryptography"},
    "server.tls": {"OpenSSL", "twisted.internet.ssl"},
    "cli.driving": {"twisted.internet.error"},
    "cli.fetch": {"twisted.internet.reactor"},
    "client.account": {"idna"},
    "client.connection": {"OpenSSL", "service_identity"},
    "client.fetch": {"OpenSSL"},
    "client.secrets": {"keyring"},
    "client.wording": {"OpenSSL"},
    "client.verified": {"OpenSSL", "service_identity", "twisted.internet.abstract"},
    # The default of a class attribute; imported when a connection is made.
    "server.idling": {"twisted.internet.reactor"},
}


def modules():
    """
    Give each module's name below the package, and its syntax tree.
    """
    for path in sorted((ROOT / "extretr").rglob("*.py")):
        parts = path.relative_to(ROOT / "extretr").with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").removesuffix(".")
        yield name, ast.parse(path.read_text("utf-8"))


def imported(tree):
    """
    Give the dotted names that a module imports, but for type checkers alone.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def within(name, allowed):
    return any(name == each or name.startswith(each + ".") for each in allowed)


def room_of(name):
    for room, ours, others in ROOMS:
        if name == room or (room and name.startswith(room + ".")):
            return room, ours, others
    raise AssertionError(f"{name} is in no room of the house")


def forbidden(name, tree):
    """
    Give a line for each import of a module that its room does not allow.
    """
    _, ours, others = room_of(name)
    wrong = []
    for target in imported(tree):
        top = target.partition(".")[0]
        if ours is None or top in sys.stdlib_module_names:
            continue
        if top == "extretr":
            allowed = within(target.removeprefix("extretr."), ours)
        else:
            allowed = within(target, others | MADE_FOR.get(name, set()))
        if not allowed:
            wrong.append(f"{name or 'extretr'} imports {target}")
    return wrong


class LayerTests(SynchronousTestCase):
    """
    Imports go one way only.
    """

    def test_rooms(self):
        """
        Each module imports what its room may import, and nothing else.
        """
        found = list(modules())
        self.assertGreater(len(found), 30)
        wrong = [each for name, tree in found for each in forbidden(name, tree)]
        self.assertEqual(wrong, [])

    def test_forbidden(self):
        """
        What a room may not import is found, in whatever form and wherever it stands.
        """
        for name, line in [
            ("wire", "import twisted.logger"),
            ("syntax", "from extretr import wire"),
            ("message", "from extretr.stores.lock import SessionLock"),
            ("stores.maildir", "from twisted.internet import reactor"),
            ("stores.maildir", "from twisted.mail import pop3"),
            ("stores.maildir", "from extretr.server.session import Session"),
            ("server.session", "from extretr.stores import maildir"),
            ("server.session", "import passlib.hash"),
            ("server.session", "from . import lines"),
            ("cli.password", "from twisted.internet import defer"),
            ("client.fetch", "from extretr.server.session import Session"),
            ("server.session", "from extretr.client.protocol import PIPELINED"),
            ("sasl", "from twisted.internet import defer"),
            ("", "from extretr.server.protocol import ExtendedPOP3"),
        ]:
            tree = ast.parse(f"def later():\n    {line}\n")
            self.assertEqual(len(forbidden(name, tree)), 1, f"{name}: {line}")
            self.assertEqual(forbidden("tap", tree), [])

    def test_unknownRoom(self):
        """
        A module that stands in no room has to be given one.
        """
        tree = ast.parse("import os")
        self.assertRaises(AssertionError, forbidden, "attic.trunk", tree)

    def test_pureModules(self):
        """
        The ground floor does no I/O: it imports no module of the standard library
        that does any.
        """
        for name, tree in modules():
            if name in PURE:
                tops = {target.partition(".")[0] for target in imported(tree)}
                self.assertEqual(
                    tops & {"io", "os", "socket", "pathlib", "tempfile", "twisted"},
                    set(),
                    name,
                )

    def test_noCycles(self):
        """
        No two modules import each other, however far round.
        """
        names = {name for name, _ in modules()}
        graph = {}
        for name, tree in modules():
            targets = set()
            for target in imported(tree):
                if target.startswith("extretr."):
                    path = target.removeprefix("extretr.")
                    while path and path not in names:
                        path = path.rpartition(".")[0]
                    targets.add(path)
            graph[name] = targets - {"", name}
        done, under_way = set(), []

        def visit(name):
            self.assertNotIn(name, under_way, under_way)
            if name not in done:
                under_way.append(name)
                for target in sorted(graph[name]):
                    visit(target)
                under_way.pop()
                done.add(name)

        for name in sorted(graph):
            visit(name)


class SizeTests(SynchronousTestCase):
    """
    Modules are small.
    """

    def test_modules(self):
        """
        No module of the package has more than 350 lines.
        """
        sizes = {
            path.name: len(path.read_text("utf-8").splitlines())
            for path in (ROOT / "extretr").rglob("*.py")
        }
        self.assertEqual([name for name, size in sizes.items() if size > 350], [])

    def test_pluginFolders(self):
        """
        Nothing of ours lies where it would overwrite Twisted's own packages.
        """
        found = sorted(
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "twisted").rglob("*.py")
        )
        self.assertEqual(found, ["twisted/plugins/extretr_plugin.py"])
