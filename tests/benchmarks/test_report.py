"""
Medians and ratios, and what is said of them.
"""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.report import Report, Row
from tests.benchmarks.tables import write


def row(**more):
    values = {"extretr": [10.0, 30.0, 20.0], "dovecot": [5.0, 10.0, 20.0]}
    return Row("large", "RETR", **{"unit": "MB/s", "values": values, **more})


class RowTests(SynchronousTestCase):
    """
    One thing that was measured.
    """

    def test_ratios_of_rounds(self):
        """
        The ratio is the median of the rounds' own, not that of the medians.
        """
        measured = row(values={"extretr": [10.0, 30.0, 20.0], "x": [1.0, 30.0, 10.0]})
        self.assertEqual(measured.medians(), {"extretr": 20.0, "x": 10.0})
        self.assertEqual(measured.ratios(), {"x": 2.0})
        measured = row(values={"extretr": [4.0, 9.0, 5.0], "x": [4.0, 3.0, 1.0]})
        self.assertEqual(measured.ratios(), {"x": 3.0})

    def test_less_is_better(self):
        """
        Where less is better the ratio is above one when ours is less.
        """
        measured = row(values={"extretr": [1.0], "x": [4.0]}, less=True)
        self.assertEqual(measured.ratios(), {"x": 4.0})

    def test_goals(self):
        """
        A goal that is missed is called so, in a run that is judged.
        """
        told = "\n".join(row(goals={"dovecot": 2.5}).lines(judged=True))
        self.assertIn("ratio 2.00   goal 2.50 (missed)", told)
        told = "\n".join(row(goals={"dovecot": 2.0}).lines(judged=True))
        self.assertNotIn("missed", told)
        told = "\n".join(row(goals={"dovecot": 2.5}).lines(judged=False))
        self.assertNotIn("goal", told)

    def test_limits(self):
        """
        So is a limit that is exceeded.
        """
        told = list(row(limit=19).lines(judged=True))
        self.assertIn("limit 19 (missed)", told[1])
        self.assertNotIn("limit", told[2])
        self.assertNotIn("missed", "".join(row(limit=20).lines(judged=True)))


class ReportTests(SynchronousTestCase):
    """
    What a run has measured.
    """

    def setUp(self):
        self.report = Report()
        self.report.rows = [row()]
        self.report.notes = ["popa3d falls out"]

    def test_json(self):
        """
        What is written is read again, but for what is measured anew.
        """
        path = Path(self.mktemp())
        self.report.write_json(path)
        self.assertEqual(json.loads(path.read_text())["machine"], self.report.machine)
        other = Report()
        other.read_json(path, without=["small"])
        self.assertEqual(other.rows, self.report.rows)
        self.assertEqual(other.notes, self.report.notes)
        other = Report()
        other.read_json(path, without=["large"])
        self.assertEqual(other.rows, [])

    def test_tables(self):
        """
        A table for the docs has a median for each server, and the ratios.
        """
        path = Path(self.mktemp())
        write(self.report, path)
        told = path.read_text()
        self.assertIn("   * - RETR\n     - 20 MB/s\n     - 10 (2.00)\n", told)
        self.assertIn("- popa3d falls out", told)
