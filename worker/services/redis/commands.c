#include "worker/services/redis/commands.h"
#include <stdint.h>
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

/* Rows by a hash of their names, the next place where one is taken. Each request is looked up, most of them at the first try. */
enum { PLACES = 1024, ROWS = sizeof(rows) / sizeof(rows[0]) };
static const struct row *places[PLACES];

/* The name in small letters, filled up with NULs; and its hash. */
static uint32_t fold(char folded[NAME_MAX_SIZE], const char *name, size_t size)
{
    uint32_t hash = 2166136261U;

    memset(folded, 0, NAME_MAX_SIZE);
    for (size_t i = 0; i < size; i++) {
        folded[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
        hash = (hash ^ (uint8_t)folded[i]) * 16777619U;
    }
    return hash;
}

void commands_start(void)
{
    char folded[NAME_MAX_SIZE];

    memset(places, 0, sizeof(places));
    for (unsigned i = 0; i < ROWS; i++) {
        uint32_t at = fold(folded, rows[i].name, strlen(rows[i].name));
        while (places[at % PLACES])
            at++;
        places[at % PLACES] = &rows[i];
    }
}

enum command_kind command_kind(const char *name, size_t size)
{
    char folded[NAME_MAX_SIZE];

    if (size >= NAME_MAX_SIZE)
        return COMMAND_PRIVATE;
    for (uint32_t at = fold(folded, name, size); places[at % PLACES]; at++)
        if (memcmp(places[at % PLACES]->name, folded, NAME_MAX_SIZE) == 0)
            return places[at % PLACES]->kind;
    return COMMAND_PRIVATE;
}
