"""
Generators that take long, run to their end at once.
"""


def result(steps):
    """
    Run steps and give what they return, and their number.
    """
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
        count += 1
