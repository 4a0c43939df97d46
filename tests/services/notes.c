/*
 * Notes in an SQLite database, which all workers share: "ADD TEXT" keeps a line and tells its number, "LIST" shows
 * them, "." is the end. Each second those that are older than `keep` are removed.
 *
 * A database blocks: for as long as a query takes, up to BUSY_MS while another worker writes, all sessions of the worker
 * wait. That is right for short queries on a local disk; slow ones belong behind a connection.
 */
/* pkg-config: sqlite3 */
#include "worker/session.h"
#include <sqlite3.h>
#include <string.h>

enum { BUSY_MS = 5000, LINE_MAX_SIZE = 1024 };

struct config {
    char database[OPTION_STRING_SIZE];
    uint32_t keep_ms;
};

static const struct option_row options[] = {
    {.name = "database",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, database),
     .help = "path of the database; it is made if it does not exist"},
    {.name = "keep",
     .type = OPTION_TIME,
     .offset = offsetof(struct config, keep_ms),
     .min = 1000,
     .max = UINT32_MAX,
     .value = "24h",
     .help = "how long notes are kept"},
    {0},
};

/* One per worker: a connection must not be shared by processes, so it is made in each. */
struct store {
    sqlite3 *database;
    sqlite3_stmt *add, *list, *expire;
};

/* ---- the life of a worker ---- */

static bool prepare(struct store *store, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(store->database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK;
}

static void stop(struct section *section)
{
    struct store *store = section_state(section);

    sqlite3_finalize(store->add);
    sqlite3_finalize(store->list);
    sqlite3_finalize(store->expire);
    sqlite3_close(store->database);
}

static int start(struct section *section, char *error, size_t error_size)
{
    const struct config *config = section_config(section);
    struct store *store = section_state(section);
    static const char schema[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                                 "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, made REAL, text TEXT);";

    if (sqlite3_open(config->database, &store->database) == SQLITE_OK &&
        sqlite3_busy_timeout(store->database, BUSY_MS) == SQLITE_OK &&
        sqlite3_exec(store->database, schema, NULL, NULL, NULL) == SQLITE_OK &&
        prepare(store, "INSERT INTO note (made, text) VALUES (julianday('now'), ?)", &store->add) &&
        prepare(store, "SELECT id, text FROM note ORDER BY id", &store->list) &&
        prepare(store, "DELETE FROM note WHERE made < julianday('now') - ? / 86400e3", &store->expire))
        return 0;
    snprintf(error, error_size, "[listen %s]: database %s: %s", section_name(section), config->database,
             sqlite3_errmsg(store->database));
    stop(section);
    return -1;
}

static void tick(struct section *section)
{
    const struct config *config = section_config(section);
    struct store *store = section_state(section);

    sqlite3_bind_int64(store->expire, 1, config->keep_ms);
    if (sqlite3_step(store->expire) != SQLITE_DONE)
        log_warn("%s: cannot remove old notes: %s", section_name(section), sqlite3_errmsg(store->database));
    sqlite3_reset(store->expire);
}

/* ---- questions ---- */

static enum verdict say(struct session *session, const char *text)
{
    session_send(session, text, strlen(text));
    return SESSION_CONTINUE;
}

static enum verdict say_failure(struct session *session)
{
    struct store *store = section_state(session_section(session));
    char line[256];

    session_count_error(session);
    snprintf(line, sizeof(line), "error: %s\n", sqlite3_errmsg(store->database));
    return say(session, line);
}

static enum verdict add(struct session *session, const char *text, size_t size)
{
    struct store *store = section_state(session_section(session));
    char line[32];

    sqlite3_bind_text(store->add, 1, text, (int)size, SQLITE_STATIC);
    int result = sqlite3_step(store->add);
    sqlite3_reset(store->add);
    if (result != SQLITE_DONE)
        return say_failure(session);
    snprintf(line, sizeof(line), "%lld\n", (long long)sqlite3_last_insert_rowid(store->database));
    return say(session, line);
}

static enum verdict list(struct session *session)
{
    struct store *store = section_state(session_section(session));
    char line[32];
    int result;

    while ((result = sqlite3_step(store->list)) == SQLITE_ROW) {
        snprintf(line, sizeof(line), "%lld ", (long long)sqlite3_column_int64(store->list, 0));
        say(session, line);
        session_send(session, sqlite3_column_text(store->list, 1), (size_t)sqlite3_column_bytes(store->list, 1));
        say(session, "\n");
    }
    sqlite3_reset(store->list);
    return result == SQLITE_DONE ? say(session, ".\n") : say_failure(session);
}

static enum verdict message(struct session *session, const char *line, size_t size)
{
    if (size > 4 && memcmp(line, "ADD ", 4) == 0)
        return add(session, line + 4, size - 4);
    if (size == 4 && memcmp(line, "LIST", 4) == 0)
        return list(session);
    session_count_error(session);
    return say(session, "error: ADD TEXT or LIST\n");
}

const struct service notes_service = {
    .name = "notes",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = LINE_MAX_SIZE,
    .section_size = sizeof(struct store),
    .options = options,
    .config_size = sizeof(struct config),
    .start = start,
    .tick = tick,
    .tick_ms = 1000,
    .stop = stop,
    .message = message,
};
