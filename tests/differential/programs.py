"""
Random programs: scenes in a row. Only one client at a time touches what others see, between barriers of its own; keys of
its own it may use whenever it likes. So every answer is determined by the program.
"""
import hashlib

from commands import command, keys_of, scripts
from player import Barrier, Block, Close, End, HalfClose, Send, Settle, Unblock, pack

CLIENTS = 3
NONSENSE = [b"*x\r\n", b"*1\r\nfoo\r\n", b"*1\r\n$-1\r\n", b"*2147483648\r\n", b"*1\r\n$999999999\r\n",
            b"SET c0:1 \"x\r\n", b"*1\r\n$4x\r\n"]
SHARED = [b"s:0", b"s:1"]
USERS = {"alice": [">secret", "~*", "&*", "+@all"],
         "bob": [">pw", "~c?:[0-3]", "-@all", "+get", "+set", "+ping", "+auth", "+hello", "+reset", "+quit", "+multi", "+exec",
                 "+discard", "+select"]}


class Scenes:
    """Makes the steps of one program. `plain`: its commands on keys need no connection of their own."""

    def __init__(self, rng, plain):
        self.rng, self.plain, self.steps = rng, plain, []
        self.elsewhere = set()  # clients of another user or database, maybe

    # ---- parts ----

    def cuts(self, size):
        """Where one write ends and another begins: mostly nowhere."""
        kind = self.rng.random()
        if kind < 0.8 or size < 2:
            return ()
        if kind < 0.82 and size < 300:
            return tuple(range(1, size))
        return tuple(sorted({self.rng.randrange(1, size) for _ in range(self.rng.choice([1, 1, 2, 4]))}))

    def payload(self, words):
        rng = self.rng
        if rng.random() < 0.06 and all(word and word.isalnum() for word in words) and sum(map(len, words)) < 1000:
            return b"  ".join(words) + rng.choice([b"\r\n", b"\n"])
        empty = rng.choice([b"\r\n", b"*0\r\n", b"*-1\r\n"]) if rng.random() < 0.02 else b""
        return empty + pack(words)

    def send(self, client, *words):
        words = tuple(word if isinstance(word, bytes) else str(word).encode() for word in words)
        payload = self.payload(words)
        self.steps.append(Send(client, payload, (words,), self.cuts(len(payload))))

    def send_uncounted(self, client, *commands):
        """Commands with no answer, or more than one; a barrier has to follow."""
        payload = b"".join(pack([word.encode() for word in text.split()]) for text in commands)
        self.steps.append(Send(client, payload, (None,), self.cuts(len(payload))))

    def barrier(self):
        self.steps.append(Barrier(self.rng.choice(["", "some"])))

    def some(self, client, most=3):
        for _ in range(self.rng.randrange(most + 1)):
            self.command(client)

    def command(self, client):
        self.send(client, *command(self.rng, client, self.plain))

    def bystander(self, *busy):
        """Somebody else is busy with keys of its own at the same time."""
        for client in range(CLIENTS):
            if client not in busy and self.rng.random() < 0.5:
                self.some(client, 8)

    def meet(self, count):
        """So many clients, of the default user and in database 0, who then see each other's keys."""
        met = self.rng.sample(range(CLIENTS), count)
        for client in sorted(self.elsewhere.intersection(met)):
            self.send(client, "RESET")
            self.elsewhere.remove(client)
        return met

    def newcomers(self):
        """Some leave, and come back as new clients: whoever has needed a connection of its own keeps it."""
        for client in range(CLIENTS):
            if self.rng.random() < 0.3:
                self.steps.append(Close(client))
                self.elsewhere.discard(client)

    # ---- scenes ----

    def pipelines(self):
        for client in range(CLIENTS):
            self.some(client, self.rng.choice([1, 3, 10, 40]))
        self.barrier()

    def transaction(self):
        """Whole, cut, step by step; with mistakes, with commands that do not share, given up."""
        rng, client = self.rng, self.rng.randrange(CLIENTS)
        step_by_step, strange = rng.random() < 0.3, rng.random() < 0.3
        self.some(client)
        self.send(client, "MULTI")
        for _ in range(rng.choice([0, 1, 2, 5, 20])):
            if step_by_step and rng.random() < 0.5:
                self.bystander(client)
                self.barrier()
            self.command(client)
        if strange and rng.random() < 0.4:
            self.elsewhere.add(client)
            self.send(client, *rng.choice([("MULTI",), ("WATCH", "s:0"), ("SELECT", 1), ("HELLO", 3), ("AUTH", "a", "b"),
                                           ("GET",)]))
        odd = [("RESET",), ("EXEC", "x"), ("DISCARD", "x")]
        self.send(client, *rng.choice([("EXEC",), ("exec",), ("DISCARD",), *(odd if strange else [])]))
        if strange:
            self.send(client, "DISCARD")  # whatever has become of it: no transaction is left
        self.some(client)
        self.bystander(client)
        self.barrier()

    def watch(self):
        """Another client changes the key before MULTI, after it, or not at all."""
        rng, (one, two), key = self.rng, self.meet(2), self.rng.choice(SHARED)
        when = rng.choice(["before", "after", "never", "unwatched"])

        def change():
            self.barrier()
            self.send(two, *rng.choice([("SET", key, rng.random()), ("DEL", key), ("RPUSH", key, "x"), ("GET", key),
                                        ("FLUSHDB",), ("SWAPDB", 0, 1)]))
            self.barrier()

        self.send(two, "SET", key, 1)
        self.barrier()
        self.send(one, "WATCH", key)
        self.some(one)
        self.bystander(one, two)
        if when in ("before", "unwatched"):
            change()
        if when == "unwatched":
            self.send(one, "UNWATCH")
        self.send(one, "MULTI")
        self.command(one)
        if when == "after":
            change()
        self.send(one, "INCRBY", key, 1)
        self.send(one, rng.choice(["EXEC", "EXEC", "EXEC", "DISCARD"]))
        self.some(one)
        self.barrier()

    def blocking(self):
        """One or two block on a shared key; somebody else pushes, they leave, or are unblocked."""
        rng, key = self.rng, self.rng.choice(SHARED)
        *waiters, pusher = self.meet(rng.choice([2, 2, 3]))
        kind, push = rng.choice([
            ("BLPOP none KEY 0", ("RPUSH", key, "one", "two")), ("BRPOP KEY 0", ("RPUSH", key, "one", "two")),
            ("BRPOPLPUSH KEY s:to 0", ("LPUSH", key, "one", "two")),
            ("BLMOVE KEY s:to LEFT RIGHT 0", ("RPUSH", key, "one", "two")),
            ("BLMPOP 0 2 none KEY RIGHT COUNT 1", ("RPUSH", key, "one", "two")),
            ("BZPOPMIN KEY 0", ("ZADD", key, 1, "a", 2, "b")), ("BZMPOP 0 1 KEY MAX", ("ZADD", key, 1, "a", 2, "b")),
            ("XREAD BLOCK 0 STREAMS KEY $", ("XADD", key, "9-9", "f", "v"))])
        self.send(pusher, "DEL", key, "s:to")
        self.barrier()
        for waiter in waiters:
            words = tuple(word.replace("KEY", key.decode()).encode() for word in kind.split())
            self.steps.append(Block(waiter, pack(words), words))
        self.bystander(*waiters)
        self.barrier()
        how = rng.choice(["push", "push", "push", "leave", "unblock", "more"])
        if how == "more":  # what comes behind a command that blocks waits for it
            self.some(waiters[0])
        if how == "leave":
            self.steps.append(Close(waiters[0]))
        elif how == "unblock":
            self.steps.append(Unblock(rng.choice(["TIMEOUT", "ERROR"])))
        if rng.random() < 0.3:
            self.send(pusher, *rng.choice([("SET", key, "wrong type"), ("GET", key)]))
            self.send(pusher, "DEL", key)
        self.send(pusher, *(("MULTI",) if (whole := rng.random() < 0.3) else ("PING",)))
        self.send(pusher, *push)
        self.send(pusher, "EXEC" if whole else "PING")
        self.barrier()
        for waiter in waiters[1 if how == "leave" else 0:]:
            self.steps.append(Settle(waiter))
        self.send(pusher, "TYPE", key)
        self.bystander(pusher)
        self.barrier()

    def pubsub(self):
        rng, (one, two) = self.rng, self.meet(2)
        if rng.random() < 0.4:
            self.send(one, "HELLO", 3)
        self.some(one)
        self.send_uncounted(one, rng.choice(["SUBSCRIBE ch", "SUBSCRIBE ch", "SUBSCRIBE ch s:ch ch", "PSUBSCRIBE c*",
                                             "SSUBSCRIBE ch"]))
        self.barrier()
        for _ in range(rng.randrange(3)):
            self.send(two, "PUBLISH", rng.choice(["ch", "c", "nobody"]), rng.choice([b"hi", b"\0\r\n", b"m" * 100_000]))
            self.send(two, "SPUBLISH", "ch", "hi")
            self.bystander(one, two)
            self.barrier()
            self.steps.append(Barrier("all"))  # the message is there, too
        if rng.random() < 0.3:
            self.send_uncounted(one, "PSUBSCRIBE *")
            self.barrier()
        if rng.random() < 0.5:
            self.some(one)  # RESP2: most are refused
            self.barrier()
            self.send(two, "PUBSUB", rng.choice(["NUMPAT", "CHANNELS"]))
        self.barrier()
        how = rng.choice(["unsubscribe", "reset", "leave", "quit"])
        if how == "unsubscribe":
            for text in ("UNSUBSCRIBE ch", "UNSUBSCRIBE s:ch", "PUNSUBSCRIBE c*", "PUNSUBSCRIBE *", "SUNSUBSCRIBE ch"):
                self.send_uncounted(one, text)
        elif how == "reset":
            self.send(one, "RESET")
        elif how == "leave":
            self.steps.append(Close(one))
        else:
            self.send(one, "QUIT")
            self.steps.append(End(one))
        self.barrier()
        self.send(two, "PUBLISH", "ch", "after")
        self.some(one)
        self.barrier()

    def identity(self):
        """Who somebody is, which database and which protocol it has."""
        rng, client = self.rng, self.rng.randrange(CLIENTS)
        self.elsewhere.add(client)
        for _ in range(rng.randrange(1, 4)):
            self.send(client, *rng.choice([
                ("HELLO",), ("HELLO", 2), ("HELLO", 3), ("HELLO", 4), ("HELLO", 3, "AUTH", "alice", "secret"),
                ("HELLO", 3, "AUTH", "alice", "wrong"), ("HELLO", 2, "SETNAME", "me"), ("HELLO", 3, "nosuch"),
                ("AUTH", "alice", "secret"), ("AUTH", "bob", "pw"), ("AUTH", "bob", "secret"), ("AUTH", "nobody", ""),
                ("AUTH", "x"), ("AUTH",), ("SELECT", 1), ("SELECT", 15), ("SELECT", "x"), ("SELECT", 0), ("RESET",),
                ("CLIENT", "SETNAME", "n"), ("CLIENT", "SETNAME", "a b"), ("CLIENT", "GETNAME"), ("ACL", "WHOAMI"),
                ("CLIENT", "NO-TOUCH", "on")]))
            self.some(client, 5)
            self.bystander(client)
            if rng.random() < 0.5:
                self.barrier()
        self.barrier()
        if rng.random() < 0.5:
            self.send(client, "RESET")
            self.some(client, 5)
            self.barrier()

    def silence(self):
        """CLIENT REPLY."""
        client, key = self.rng.randrange(CLIENTS), keys_of(0)[0].decode()
        between = self.rng.choice([
            ["CLIENT REPLY SKIP", f"GET {key}"], ["CLIENT REPLY OFF", f"GET {key}", "nosuch", "CLIENT REPLY ON"],
            ["CLIENT REPLY ON"], ["CLIENT REPLY OFF", "PING", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING"]])
        self.some(client)
        self.send_uncounted(client, *between)
        self.barrier()
        self.some(client)
        self.barrier()

    def scripting(self):
        rng, client = self.rng, self.rng.randrange(CLIENTS)
        script, key = rng.choice(scripts(client)), rng.choice(keys_of(client))
        digest = hashlib.sha1(script).hexdigest()
        library = (f"#!lua name=lib{client}\nredis.register_function('f{client}', "
                   "function(keys, args) return redis.call('APPEND', keys[1], args[1]) end)")
        for _ in range(rng.randrange(1, 7)):
            self.send(client, *rng.choice([
                ("EVALSHA", digest, 1, key, "x"), ("SCRIPT", "LOAD", script), ("SCRIPT", "EXISTS", digest),
                ("EVAL", script, 1, key), ("EVALSHA_RO", digest, 1, key), ("FUNCTION", "LOAD", "REPLACE", library),
                ("FUNCTION", "LOAD", library), ("FCALL", f"f{client}", 1, key, "x"), ("FCALL_RO", f"f{client}", 1, key, "x"),
                ("FUNCTION", "DELETE", f"lib{client}"), ("SCRIPT", "LOAD", "not a script")]))
            self.some(client, 2)
        self.bystander(client)
        self.barrier()

    def large(self):
        """Values of some megabytes, both ways, while others are busy."""
        rng, client = self.rng, self.rng.randrange(CLIENTS)
        key, value = rng.choice(keys_of(client)), rng.randbytes(4096) * rng.choice([16, 40, 300, 800])
        self.some(client)
        self.send(client, "SET", key, value)
        for _ in range(rng.randrange(1, 4)):
            self.send(client, *rng.choice([
                ("GET", key), ("STRLEN", key), ("EVAL", "return {KEYS[1], redis.call('GET', KEYS[1])}", 1, key),
                ("GETRANGE", key, 100, 200_000), ("SETRANGE", key, 3_000_000, "x")]))
            self.some(client, 2)
        self.send(client, "DEL", key)
        self.bystander(client)
        self.barrier()

    def departure(self):
        """How a connection may end. The answers of a half-closed client have to fit into its socket: Redis does not wait."""
        rng, client = self.rng, self.rng.randrange(CLIENTS)
        how = rng.choice(["quit", "half", "half", "close", "nonsense"])
        self.some(client, 3 if how != "half" else 0)
        if how == "half":
            for number in range(rng.choice([0, 1, 5, 100])):
                key = keys_of(client)[0]
                self.send(client, *rng.choice([("PING",), ("SET", key, number), ("GET", key), ("MULTI",), ("EXEC",)]))
            self.bystander(client)
            self.steps.append(HalfClose(client))
        elif how == "close":
            if rng.random() < 0.3:
                self.send(client, *rng.choice([("MULTI",), ("WATCH", "s:0"), ("SELECT", 3)]))
            self.barrier()
            self.steps.append(Close(client))
        else:
            last = rng.choice(NONSENSE) if how == "nonsense" else pack([rng.choice([b"QUIT", b"quit"])])
            self.steps += [Send(client, last, (None,), self.cuts(len(last))), End(client)]
        self.barrier()


SCENES = [(Scenes.pipelines, 6), (Scenes.transaction, 5), (Scenes.watch, 3), (Scenes.blocking, 3), (Scenes.pubsub, 3),
          (Scenes.identity, 4), (Scenes.silence, 1), (Scenes.scripting, 2), (Scenes.large, 1), (Scenes.departure, 3)]


PLAIN_SCENES = [(Scenes.pipelines, 6), (Scenes.transaction, 4), (Scenes.large, 1), (Scenes.departure, 2)]


def program(rng):
    """The steps of a random program."""
    plain = rng.random() < 0.3
    scenes = Scenes(rng, plain or rng.random() < 0.6)
    chosen, weights = zip(*(PLAIN_SCENES if plain else SCENES))
    for scene in rng.choices(chosen, weights, k=rng.randrange(2, 10)):
        scenes.newcomers()
        scene(scenes)
    return scenes.steps
