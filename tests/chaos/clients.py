"""
The clients: one process, one epoll, as many sessions a second as it is told to open. Run by chaos.py:

    clients.py SEED RATE PATIENCE NAME=HOST:PORT...

On stdin `sync N` asks for a report, `stop` for the end of all sessions; the end of stdin ends it all. On stdout one
JSON object per line: what has been counted since the start, and every session that did not end as its client wished.
"""
import errno
import heapq
import json
import os
import select
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "regress"))

from harness import first_difference  # noqa: E402
from talk import Talk  # noqa: E402

MAX_OPEN = 6000
REPORT_S = 0.25
BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000, 1500, 2000, 3000, 5000, 10_000, 1e9]
COUNTERS = ("started", "connected", "refused", "failed", "finished", "ended_early", "asked",
            "sent", "received", "messages",  # what the server must have counted
            # Of sessions that ended early: sent since the last reply, so perhaps unread (and part of `sent`); replies
            # that may have been written but were not heard; messages that may have been handled.
            "unread", "unheard", "unanswered")
CONNECTING, ASKING, PAUSING, ENDING = "connecting", "asking", "pausing", "ending"


class Session:
    __slots__ = ("name", "socket", "steps", "at", "state", "unsent", "heard", "since", "asked", "started",
                 "sent", "received", "messages", "unread", "half_close")


class Clients:
    def __init__(self, seed, rate, patience, addresses):
        self.talk, self.rate, self.patience = Talk(seed), rate, patience
        self.addresses = addresses
        self.names = list(addresses)
        self.counters = {name: dict.fromkeys(COUNTERS, 0) for name in self.names}
        self.epoll = select.epoll()
        self.sessions = {}
        self.timers, self.timer_number = [], 0
        self.waits = {"first reply": [0] * len(BUCKETS_MS), "reply": [0] * len(BUCKETS_MS)}
        self.longest = {"first reply": 0, "reply": 0, "turn": 0}
        self.events, self.violations = [], []
        self.stopping, self.commands = False, b""
        self.now = self.polled = time.time()
        self.opened, self.started = 0, self.now

    # ---- a session's life ----

    def open(self):
        name = self.names[self.opened % len(self.names)]
        self.opened += 1
        session = Session()
        session.name, session.steps, session.at = name, self.talk.script(name), 0
        session.half_close = self.talk.random.random() < 0.3
        session.state, session.unsent, session.heard = CONNECTING, b"", 0
        session.since = session.asked = session.started = time.time()
        session.sent = session.received = session.messages = session.unread = 0
        session.socket = sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sessions[sock.fileno()] = session
        self.counters[name]["started"] += 1
        self.epoll.register(sock, select.EPOLLOUT)
        error = sock.connect_ex(self.addresses[name])
        if error not in (0, errno.EINPROGRESS):
            self.not_connected(session, error)

    def not_connected(self, session, error):
        self.counters[session.name]["refused" if error == errno.ECONNREFUSED else "failed"] += 1
        if len(self.violations) < 20:
            self.violations.append([self.now, f"{session.name}: connect: {errno.errorcode.get(error, error)}"])
        self.forget(session)

    def connected(self, session):
        if error := session.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.not_connected(session, error)
            return
        self.counters[session.name]["connected"] += 1
        self.ask(session)
        if session.socket.fileno() >= 0 and not session.unsent:
            self.epoll.modify(session.socket, select.EPOLLIN)

    def ask(self, session):
        step = session.steps[session.at]
        session.state, session.heard, session.unsent = ASKING, 0, step.data
        session.since = session.asked = time.time()
        if step.reply:
            self.counters[session.name]["asked"] += 1
        if step.data and not self.send(session):
            return
        if not step.reply and not session.unsent:
            self.answered(session)

    def send(self, session):
        """False: the session is over."""
        try:
            size = session.socket.send(session.unsent)
        except BlockingIOError:
            size = 0
        except OSError as error:
            self.ended_early(session, errno.errorcode[error.errno])
            return False
        session.sent += size
        session.unread += size
        rest = session.unsent[size:]
        if bool(rest) != (session.unsent is not session.steps[session.at].data):
            self.epoll.modify(session.socket, select.EPOLLIN | (select.EPOLLOUT if rest else 0))
        session.unsent = rest
        if not rest:
            session.asked = time.time()
        return True

    def hear(self, session):
        try:
            data = session.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self.ended_early(session, errno.errorcode[error.errno])
            return
        if not data:
            if session.state == ENDING:
                self.finish(session)
            else:
                self.ended_early(session, "EOF")
            return
        step = session.steps[min(session.at, len(session.steps) - 1)]
        heard = session.heard
        if session.state != ASKING or step.reply[heard:heard + len(data)] != data:
            self.wrong(session, data)
            return
        session.received += len(data)
        session.heard = heard + len(data)
        if session.heard == len(step.reply) and not session.unsent:
            self.answered(session)

    def answered(self, session):
        step, now = session.steps[session.at], time.time()
        if step.reply:
            session.unread = 0
            self.note_wait("reply", now - session.asked)
            if session.started:
                self.note_wait("first reply", now - session.started)
        session.started = 0
        session.messages += step.messages
        session.at += 1
        session.since = now
        if step.pause and not self.stopping:
            session.state = PAUSING
            self.timer_number += 1
            heapq.heappush(self.timers, (now + step.pause, self.timer_number, session))
        else:
            self.go_on(session)

    def go_on(self, session):
        if session.at < len(session.steps):
            self.ask(session)
        elif session.half_close:
            session.state, session.since = ENDING, time.time()
            try:
                session.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self.ended_early(session, errno.errorcode[error.errno])
        else:
            self.finish(session)

    def add_up(self, session):
        counters = self.counters[session.name]
        for key in "sent", "received", "messages":
            counters[key] += getattr(session, key)
        return counters

    def finish(self, session):
        self.add_up(session)["finished"] += 1
        self.forget(session)

    def ended_early(self, session, how):
        """Not as the client wished. `overdue`: for how long a whole request had certainly been there, unanswered."""
        counters, rest = self.add_up(session), session.steps[session.at:]
        step = rest[0] if rest else None
        unanswered = session.state == ASKING and bool(step.reply) and not session.unsent
        counters["ended_early"] += 1
        counters["unread"] += session.unread
        if session.state == ASKING:
            counters["unheard"] += len(step.reply) - session.heard
            counters["unanswered"] += step.messages
        self.events.append({
            "time": self.now, "name": session.name, "how": how, "state": session.state, "unanswered": unanswered,
            "first": bool(session.started), "heard": session.heard, "overdue": self.polled - session.asked if unanswered else 0})
        self.forget(session)

    def wrong(self, session, data):
        wanted = b""
        if session.state == ASKING:
            wanted = session.steps[session.at].reply[session.heard:]
        self.violations.append([self.now, f"{session.name}: reply {session.at} from byte {session.heard}, "
                                          f"{session.state}: {first_difference(data, wanted)}"])
        self.forget(session)

    def forget(self, session):
        del self.sessions[session.socket.fileno()]
        session.socket.close()

    def note_wait(self, kind, seconds):
        ms = seconds * 1000
        self.waits[kind][next(i for i, bound in enumerate(BUCKETS_MS) if ms <= bound)] += 1
        self.longest[kind] = max(self.longest[kind], ms)

    # ---- the loop ----

    def look_for_the_forgotten(self):
        for session in list(self.sessions.values()):
            if session.state != PAUSING and self.now - session.since > self.patience:
                what = "not accepted or answered" if session.started else "not answered"
                self.violations.append([self.now, f"{session.name}: {session.state}: {what} for {self.patience:g} s"])
                self.ended_early(session, "PATIENCE")

    def obey(self):
        """False: the driver is gone."""
        data = os.read(0, 4096)
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            if line == b"stop":
                self.stopping = True
                self.timers = [(0, number, session) for _, number, session in self.timers]
            else:
                self.report(sync=int(line.split()[1]))
        return bool(data)

    def report(self, **more):
        print(json.dumps({"time": time.time(), "counters": self.counters, "open": len(self.sessions),
                          "events": self.events, "violations": self.violations, "waits": self.waits,
                          "longest": self.longest, **more}), flush=True)
        self.events, self.violations = [], []

    def open_what_is_due(self):
        due = int((self.now - self.started) * self.rate) - self.opened
        if due > self.rate:  # held up for more than a second: it is not made up for
            self.started += due / self.rate
        for _ in range(min(due, 64, MAX_OPEN - len(self.sessions))):
            self.open()

    def turn(self):
        if not self.stopping:
            self.open_what_is_due()
        left = self.timers[0][0] - time.time() if self.timers else 1
        events = self.epoll.poll(max(0, min(left, 0.5 if self.stopping else 1 / self.rate)), MAX_OPEN + 2)
        now = time.time()
        self.longest["turn"] = max(self.longest["turn"], (now - self.now) * 1000)
        self.polled, self.now = self.now, now
        for fd, event in events:
            if fd == 0:
                if not self.obey():
                    sys.exit("the driver is gone")
                continue
            session = self.sessions.get(fd)
            if session is None:
                continue
            if session.state == CONNECTING:
                self.connected(session)
                continue
            if event & select.EPOLLOUT and session.unsent:
                if not self.send(session):
                    continue
                if not session.unsent and not session.steps[session.at].reply:
                    self.answered(session)
            elif event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self.hear(session)
        while self.timers and self.timers[0][0] <= now:
            session = heapq.heappop(self.timers)[2]
            if session.socket.fileno() >= 0:
                self.go_on(session)

    def run(self):
        self.epoll.register(0, select.EPOLLIN)
        next_report = 0
        while not self.stopping or self.sessions:
            self.turn()
            if self.now >= next_report:
                next_report = self.now + REPORT_S
                self.look_for_the_forgotten()
                self.report()
        self.report(done=True)


def main():
    seed, rate, patience, *names = sys.argv[1:]
    addresses = {}
    for each in names:
        name, address = each.split("=")
        host, port = address.rsplit(":", 1)
        addresses[name] = (host, int(port))
    os.set_blocking(0, False)
    Clients(int(seed), float(rate), float(patience), addresses).run()


if __name__ == "__main__":
    main()
