"""
RESP as a client reads it: where an answer ends, and what of it two servers may say differently.

Answers are compared byte for byte, with these exceptions, which no two runs of Redis itself have in common:
- the elements of what Redis keeps in no order (its hash seed is random) are sorted;
- the id of a connection in the answers of HELLO and CLIENT ID becomes 0.
"""
import re

SINGLES = {b"smembers", b"keys", b"hkeys", b"hvals", b"sunion", b"sdiff", b"sinter"}
PAIRS = {b"hgetall"}
CURSORS = {b"scan", b"sscan"}
PUBSUB = re.compile(rb"\*\d+\r\n\$\d+\r\n(?:[ps]?(?:un)?subscribe|[ps]?message)\r\n")
HELLO_ID = re.compile(rb"(\$2\r\nid\r\n:)\d+")


class Nonsense(Exception):
    """Bytes that no answer begins with."""


def frame_end(data, at=0):
    """The end of the answer at `at`; None: it is not whole."""
    left = 1
    while left:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        kind, text, at = data[at:at + 1], data[at + 1:end], end + 2
        left -= 1
        if kind in b"$=!*~>%|":
            if not re.fullmatch(rb"-1|\d+", text):
                raise Nonsense
            count = int(text)
            if kind in b"$=!" and count >= 0:
                at += count + 2
            elif kind in b"*~>":
                left += max(count, 0)
            elif kind in b"%|":
                left += 2 * count + (kind == b"|")
        elif kind not in b"+-:_#,(":
            raise Nonsense
    return at if at <= len(data) else None


def is_push(frame):
    """True for a message or a confirmation of the publish/subscribe family: no answer in the order of the questions."""
    return frame[:1] == b">" or bool(PUBSUB.match(frame))


def elements(frame):
    """The first line of an aggregate, and its elements."""
    at = frame.index(b"\r\n") + 2
    head, found = frame[:at], []
    while at < len(frame):
        end = frame_end(frame, at)
        found.append(frame[at:end])
        at = end
    return head, found


def sort_singles(frame):
    head, found = elements(frame)
    return head + b"".join(sorted(found))


def sort_pairs(frame):
    head, found = elements(frame)
    return head + b"".join(sorted(key + value for key, value in zip(found[::2], found[1::2])))


def canonical(words, frame):
    """An answer without what two servers may say differently. `words`: the command that it answers."""
    name = words[0].lower() if words else b""
    if frame[:1] in b"*~%":
        if name in SINGLES or name == b"pubsub" and words[1].lower() == b"channels":
            return sort_singles(frame)
        if name in PAIRS:
            return sort_pairs(frame)
        if name in CURSORS:
            head, found = elements(frame)
            return head + b"".join([found[0], *map(sort_singles, found[1:])])
    if name == b"hello":
        return HELLO_ID.sub(rb"\g<1>0", frame)
    if name == b"client" and frame[:1] == b":" and words[1].lower() == b"id":
        return b":0\r\n"
    return frame


def canonical_exec(queued, frame):
    """The answer of EXEC, each element as that of its command."""
    if frame[:1] != b"*":
        return frame
    head, found = elements(frame)
    if len(found) != len(queued):
        return frame
    return head + b"".join(map(canonical, queued, found))
