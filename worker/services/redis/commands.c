#include "worker/services/redis/commands.h"
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_SIZE = 24 };

struct row {
    char name[NAME_MAX_SIZE];
    enum command_kind kind;
};

/* In the order of their names. */
static const struct row rows[] = {
#define R(name) {name, COMMAND_READ},
#define W(name) {name, COMMAND_WRITE},
#define B(name) {name, COMMAND_BLOCKING},
    /* clang-format off */
    W("append") {"auth", COMMAND_AUTH}, R("bitcount") W("bitfield") R("bitfield_ro") W("bitop") R("bitpos")
    B("blmove") B("blmpop") B("blpop") B("brpop") B("brpoplpush") B("bzmpop") B("bzpopmax") B("bzpopmin")
    {"client", COMMAND_CLIENT}, R("command") R("config") W("copy") R("dbsize") W("decr") W("decrby") W("del")
    {"discard", COMMAND_EXEC}, R("dump") R("echo") W("eval") R("eval_ro") W("evalsha") R("evalsha_ro")
    {"exec", COMMAND_EXEC}, R("exists") W("expire") W("expireat") R("expiretime") W("fcall") R("fcall_ro") W("geoadd")
    R("geodist") R("geohash") R("geopos") W("georadius") R("georadius_ro") W("georadiusbymember")
    R("georadiusbymember_ro") R("geosearch") W("geosearchstore") R("get") R("getbit") W("getdel") W("getex")
    R("getrange") W("getset") W("hdel") {"hello", COMMAND_HELLO}, R("hexists") R("hget") R("hgetall") W("hincrby")
    W("hincrbyfloat") R("hkeys") R("hlen") R("hmget") W("hmset") R("hrandfield") R("hscan") W("hset") W("hsetnx")
    R("hstrlen") R("hvals") W("incr") W("incrby") W("incrbyfloat") R("info") R("keys") R("lastsave") R("latency")
    R("lcs") R("lindex") W("linsert") R("llen") W("lmove") W("lmpop") W("lpop") R("lpos") W("lpush") W("lpushx")
    R("lrange") W("lrem") W("lset") W("ltrim") R("memory") R("mget") W("mset") W("msetnx") {"multi", COMMAND_MULTI},
    R("object") W("persist") W("pexpire") W("pexpireat") R("pexpiretime") W("pfadd") R("pfcount") W("pfmerge")
    R("ping") W("psetex") R("pttl") W("publish") R("pubsub") {"quit", COMMAND_QUIT}, R("randomkey") W("rename")
    W("renamenx") {"reset", COMMAND_RESET}, W("restore") W("rpop") W("rpoplpush") W("rpush") W("rpushx") W("sadd")
    R("scan") R("scard") R("sdiff") W("sdiffstore") {"select", COMMAND_SELECT}, W("set") W("setbit") W("setex")
    W("setnx") W("setrange") R("sinter") R("sintercard") W("sinterstore") R("sismember") R("slowlog") R("smembers")
    R("smismember") W("smove") W("sort") R("sort_ro") W("spop") W("spublish") R("srandmember") W("srem") R("sscan")
    R("strlen") R("substr") R("sunion") W("sunionstore") R("time") R("touch") R("ttl") R("type") W("unlink")
    {"unwatch", COMMAND_UNWATCH}, {"watch", COMMAND_WATCH}, W("xack") W("xadd") W("xautoclaim") W("xclaim") W("xdel")
    R("xinfo") R("xlen") R("xpending") R("xrange") R("xrevrange") W("xtrim") W("zadd") R("zcard") R("zcount")
    R("zdiff") W("zdiffstore") W("zincrby") R("zinter") R("zintercard") W("zinterstore") R("zlexcount") W("zmpop")
    R("zmscore") W("zpopmax") W("zpopmin") R("zrandmember") R("zrange") R("zrangebylex") R("zrangebyscore")
    W("zrangestore") R("zrank") W("zrem") W("zremrangebylex") W("zremrangebyrank") W("zremrangebyscore")
    R("zrevrange") R("zrevrangebylex") R("zrevrangebyscore") R("zrevrank") R("zscan") R("zscore") R("zunion")
    W("zunionstore")
/* clang-format on */
#undef R
#undef W
#undef B
};

static int compare(const void *name, const void *row)
{
    return strcmp(name, ((const struct row *)row)->name);
}

enum command_kind command_kind(const char *name, size_t size)
{
    char small[NAME_MAX_SIZE];

    if (size >= sizeof(small))
        return COMMAND_PRIVATE;
    for (size_t i = 0; i < size; i++)
        small[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    small[size] = '\0';
    const struct row *row = bsearch(small, rows, sizeof(rows) / sizeof(rows[0]), sizeof(rows[0]), compare);
    return row ? row->kind : COMMAND_PRIVATE;
}
