"""
Random commands on all types, whose answers depend on nothing but what has been asked before.

Not here, because two runs of Redis itself differ: TIME, TTL, RANDOMKEY, SPOP and other random elements, OBJECT IDLETIME, ids
of streams that the server chooses. Nor what docs/redis.md names as different: CLIENT LIST, INFO, SLOWLOG, WAIT after a write.
"""
VALUES = [b"a", b"b", b"c", b"", b"\0\r\n", b"10", b"-5", b"3.5", b"+OK\r\n", b"$-1\r\n", b"x" * 3000]
LARGE = [b"y" * 20_000, b"z" * 70_000]  # below and above what is kept whole
KEYS = 8


def keys_of(client):
    """The keys that nobody else uses."""
    return [b"c%d:%d" % (client, number) for number in range(KEYS)]


def scripts(client):
    """Scripts whose digests are their client's own."""
    return [b"return {'%d', #ARGV}" % client, b"return redis.call('GET', KEYS[1]) --%d" % client]


EVALS = [b"return {1,{2,'x'},redis.error_reply('MY no')}", b"return redis.status_reply('fine')", b"return false",
         b"return {1,nil,3}", b"return 3.99", b"return redis.call('SET', KEYS[1], ARGV[1])", b"error('oh')",
         b"return redis.call('LRANGE', KEYS[1], 0, -1)", b"return redis.call('nosuch')", b"syntax error here",
         b"return redis.pcall('INCR', KEYS[1])", b"redis.setresp(3); return redis.call('HINCRBY', KEYS[1], 'n', 1)",
         b"redis.setresp(3); return {map={a=1}}", b"return {double=3.5}", b"return redis.call('BLPOP', KEYS[1], 0)",
         b"local t = {} for i = 1, 2000 do t[i] = i end return t", b"return string.rep('v', 100000)"]


def strings(rng, key, other, value, number):
    return rng.choice([
        (b"SET", key, value), (b"SET", key, value, b"NX"), (b"SET", key, value, b"XX", b"GET"),
        (b"SET", key, value, b"EX", b"x"), (b"SET", key, value, b"EXAT", b"33177117420"), (b"SETEX", key, b"0", value),
        (b"GET", key), (b"GETDEL", key), (b"GETEX", key, b"PERSIST"), (b"GETSET", key, value),
        (b"MGET", key, other, key), (b"MSET", key, value, other, value), (b"MSETNX", key, value, other, value),
        (b"INCR", key), (b"INCRBY", key, number), (b"DECR", key), (b"INCRBYFLOAT", key, b"0.25"), (b"APPEND", key, value),
        (b"STRLEN", key), (b"GETRANGE", key, b"-3", b"-1"), (b"SETRANGE", key, number, value), (b"SETBIT", key, number, b"1"),
        (b"BITCOUNT", key), (b"BITFIELD", key, b"INCRBY", b"u8", b"0", b"200", b"OVERFLOW", b"FAIL", b"GET", b"u4", b"4"),
        (b"BITOP", b"XOR", key, key, other), (b"BITPOS", key, b"1"), (b"LCS", key, other), (b"PFADD", key, value),
        (b"PFCOUNT", key, other), (b"PFMERGE", key, other)])


def lists(rng, key, other, value, number):
    return rng.choice([
        (b"RPUSH", key, value, other), (b"LPUSH", key, number), (b"LPUSHX", key, value), (b"LRANGE", key, b"0", b"-1"),
        (b"LPOP", key), (b"RPOP", key, b"3"), (b"LLEN", key), (b"LINDEX", key, number), (b"LSET", key, b"0", value),
        (b"LINSERT", key, b"BEFORE", value, b"new"), (b"LREM", key, b"0", value), (b"LTRIM", key, b"0", b"50"),
        (b"LPOS", key, value, b"COUNT", b"0"), (b"LMOVE", key, other, b"LEFT", b"RIGHT"), (b"RPOPLPUSH", key, other),
        (b"LMPOP", b"2", key, other, b"RIGHT", b"COUNT", b"2"), (b"SORT", key, b"ALPHA"),
        (b"SORT", key, b"ALPHA", b"STORE", other)])


def sets(rng, key, other, value, number):
    return rng.choice([
        (b"SADD", key, value, number), (b"SREM", key, value), (b"SCARD", key), (b"SISMEMBER", key, value), (b"SMEMBERS", key),
        (b"SMISMEMBER", key, value, number), (b"SMOVE", key, other, value), (b"SUNION", key, other), (b"SINTER", key, other),
        (b"SDIFF", key, other), (b"SINTERCARD", b"2", key, other), (b"SUNIONSTORE", key, key, other),
        (b"SDIFFSTORE", key, key, other), (b"SSCAN", key, b"0", b"COUNT", b"10000")])


def hashes(rng, key, other, value, number):
    return rng.choice([
        (b"HSET", key, other, value, number, value), (b"HGET", key, other), (b"HMGET", key, other, number), (b"HGETALL", key),
        (b"HDEL", key, number), (b"HINCRBY", key, b"n", number), (b"HINCRBYFLOAT", key, b"f", b"1.5"), (b"HLEN", key),
        (b"HKEYS", key), (b"HVALS", key), (b"HEXISTS", key, other), (b"HSETNX", key, number, value), (b"HSTRLEN", key, other)])


def sorted_sets(rng, key, other, value, number):
    return rng.choice([
        (b"ZADD", key, number, value), (b"ZADD", key, b"GT", b"CH", number, value), (b"ZADD", key, b"INCR", b"1.5", value),
        (b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"), (b"ZREVRANGE", key, b"0", b"-1"), (b"ZRANGEBYSCORE", key, b"-inf", b"(5"),
        (b"ZRANGEBYLEX", key, b"-", b"+"), (b"ZSCORE", key, value), (b"ZMSCORE", key, value, other), (b"ZRANK", key, value),
        (b"ZINCRBY", key, b"inf", value), (b"ZREM", key, value), (b"ZCARD", key), (b"ZCOUNT", key, b"0", b"inf"),
        (b"ZPOPMIN", key), (b"ZPOPMAX", key, b"2"), (b"ZMPOP", b"1", key, b"MIN"), (b"ZUNION", b"2", key, other, b"WITHSCORES"),
        (b"ZINTERSTORE", key, b"2", key, other), (b"ZDIFF", b"2", key, other), (b"ZRANGESTORE", other, key, b"0", b"-1"),
        (b"GEOADD", key, b"13.36", b"38.11", value), (b"GEOPOS", key, value), (b"GEODIST", key, value, other),
        (b"GEOSEARCH", key, b"FROMLONLAT", b"15", b"37", b"BYRADIUS", b"200", b"km", b"ASC", b"WITHCOORD")])


def streams(rng, key, other, value, number):
    entry = b"%s-1" % number
    return rng.choice([
        (b"XADD", key, entry, b"f", value), (b"XRANGE", key, b"-", b"+"), (b"XREVRANGE", key, b"+", b"-", b"COUNT", b"2"),
        (b"XLEN", key), (b"XDEL", key, entry), (b"XREAD", b"COUNT", b"3", b"STREAMS", key, other, b"0", b"0"),
        (b"XGROUP", b"CREATE", key, b"g", b"0", b"MKSTREAM"), (b"XREADGROUP", b"GROUP", b"g", b"me", b"STREAMS", key, b">"),
        (b"XACK", key, b"g", entry), (b"XTRIM", key, b"MAXLEN", b"3"), (b"XPENDING", key, b"g")])


def keyspace(rng, key, other, value, number):
    return rng.choice([
        (b"DEL", key, other), (b"UNLINK", key), (b"EXISTS", key, other, key), (b"TYPE", key), (b"TOUCH", key, other),
        (b"RENAME", key, other), (b"RENAMENX", key, other), (b"COPY", key, other, b"REPLACE"), (b"OBJECT", b"ENCODING", key),
        (b"EXPIREAT", key, b"33177117420"), (b"EXPIRETIME", key), (b"PERSIST", key), (b"PEXPIREAT", key, b"1"),
        (b"KEYS", key[:3] + b"*"), (b"SCAN", b"0", b"MATCH", key[:3] + b"*", b"COUNT", b"100000")])


def others(rng, key, other, value, number):
    return rng.choice([
        (b"PING",), (b"PING", value), (b"ECHO", value), (b"EVAL", rng.choice(EVALS), b"1", key, value),
        (b"EVAL_RO", rng.choice(EVALS), b"1", key, value), (b"EVAL", b"return KEYS", b"-1"), (b"EVALSHA", b"0" * 40, b"0"),
        (b"FCALL", b"nosuch", b"0"), (b"COMMAND", b"COUNT"), (b"COMMAND", b"INFO", b"get", b"nosuch"),
        (b"CONFIG", b"GET", b"hz"), (b"CONFIG", b"SET", b"nosuch", b"1"), (b"OBJECT", b"HELP"), (b"PUBSUB", b"NUMSUB", key),
        (b"SUBSTR", key, b"0", b"1")])


def stateful(rng, key, other, value, number):
    """What blocks, belongs to a connection, or is refused."""
    return rng.choice([
        (b"EXEC",), (b"DISCARD",), (b"UNWATCH",), (b"ASKING",), (b"READONLY",), (b"ACL", b"WHOAMI"), (b"WAIT", b"0", b"0"),
        (b"BLPOP", key, b"0.01"), (b"BRPOPLPUSH", key, other, b"0.01"), (b"BLMOVE", key, other, b"LEFT", b"LEFT", b"0.01"),
        (b"BZPOPMIN", key, other, b"0.01"), (b"BLMPOP", b"0.01", b"1", key, b"LEFT"), (b"BLPOP", key, b"x"),
        (b"XREAD", b"BLOCK", b"10", b"STREAMS", key, b"$"), (b"SELECT", b"0"), (b"SELECT", b"99"), (b"CLIENT", b"GETNAME"),
        (b"CLIENT", b"SETNAME", key), (b"CLIENT", b"ID"), (b"CLIENT", b"NO-EVICT", b"on"), (b"CLIENT", b"nosuch")])


PLAIN = [strings] * 4 + [lists, sets, hashes, sorted_sets, streams] * 2 + [keyspace, others]
ALL = [*PLAIN, stateful]


def spoil(rng, words):
    """Wrong arity, or a command that does not exist."""
    if rng.random() < 0.3:
        return (b"nosuch" + words[0], *words[1:])
    return (*words, b"x") if rng.random() < 0.5 or len(words) == 1 else words[:-1]


def command(rng, client, plain):
    """A command on keys of its client: a tuple of words. `plain`: one that needs no connection of its own."""
    key, other = rng.choices(keys_of(client), k=2)
    number = b"%d" % rng.choice([0, 1, 2, 3, 7, 100, -1, 70_000])
    value = rng.choice(VALUES if rng.random() < 0.97 else LARGE)
    group = rng.choice(PLAIN if plain else ALL)
    words = group(rng, key, other, value, number)
    if group not in (others, stateful) and rng.random() < 0.04:
        words = spoil(rng, words)
    if rng.random() < 0.1:
        words = (words[0].lower(), *words[1:])
    return words
