"""
How far the benchmarks are: a bar with the time left on a terminal, plain lines everywhere else.
"""
import sys
import time

BAR_WIDTH = 28


def duration(seconds):
    """"2:05" for 125 seconds."""
    seconds = max(0, round(seconds))
    return f"{seconds // 60}:{seconds % 60:02d}"


class Progress:
    """
    Counts planned seconds. What is left is scaled by how much slower than planned the machine has been so far, because
    a busy machine stays busy.
    """

    def __init__(self, planned, stream=None):
        self.planned, self.done, self.started = max(planned, 1e-9), 0.0, time.monotonic()
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.label = ""

    def fraction(self):
        """0..1 of the plan."""
        return min(1.0, self.done / self.planned)

    def left(self):
        """Seconds until the end, as far as one can know."""
        elapsed = time.monotonic() - self.started
        pace = elapsed / self.done if self.done > 0.02 * self.planned else 1.0
        return (self.planned - self.done) * pace

    def step(self, label):
        """A new group of runs begins: the only thing a log file gets to see."""
        self.label = label
        if not self.terminal:
            print(f"{self.fraction():4.0%}  {duration(self.left()):>6} left  {label}", file=self.stream, flush=True)
        self._draw()

    def advance(self, planned_seconds):
        """This much of the plan is done."""
        self.done += planned_seconds
        self._draw()

    def extend(self, planned_seconds):
        """The plan has grown."""
        self.planned += planned_seconds

    def _draw(self):
        if self.terminal:
            filled = round(BAR_WIDTH * self.fraction())
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            text = f"{bar} {self.fraction():4.0%}  {duration(self.left())} left  {self.label}"
            print(f"\r\033[K{text[:118]}", end="", file=self.stream, flush=True)

    def say(self, text):
        """A line of its own, above the bar."""
        if self.terminal:
            print("\r\033[K", end="", file=self.stream)
        print(text, file=self.stream, flush=True)
        self._draw()

    def close(self):
        """Leave the terminal's line free."""
        if self.terminal:
            print("\r\033[K", end="", file=self.stream, flush=True)
