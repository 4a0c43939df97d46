#include "master/conf/runtime.h"
#include "common/sock.h"
#include "master/conf/apply.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The directory without a trailing slash; of several that a service manager has made the first one. */
static void find_directory(const struct conf *conf, char *text, size_t text_size)
{
    const char *made = getenv("RUNTIME_DIRECTORY"), *own = getenv("XDG_RUNTIME_DIR");

    if (conf->runtime_dir[0])
        snprintf(text, text_size, "%s", conf->runtime_dir);
    else if (made && made[0])
        snprintf(text, text_size, "%.*s", (int)strcspn(made, ":"), made);
    else if (geteuid() == 0)
        snprintf(text, text_size, "/run/ccserver");
    else if (own && own[0] == '/')
        snprintf(text, text_size, "%s/ccserver", own);
    else
        snprintf(text, text_size, "/tmp/ccserver-%u", (unsigned)geteuid());
    for (size_t size = strlen(text); size > 1 && text[size - 1] == '/';)
        text[--size] = '\0';
}

void runtime_bind(struct conf_reader *reader)
{
    struct conf *conf = reader->conf;
    char directory[OPTION_STRING_SIZE];

    find_directory(conf, directory, sizeof(directory));
    for (unsigned i = 0; i < conf->listener_count && !reader->failed_line; i++) {
        struct listener_config *listener = &conf->listeners[i];
        struct conf_row row = {.line = reader->listener_lines[i], .name = "bind"};
        if (listener->address_count > 0 || !listener->service || !listener->service->operates)
            continue;
        int size = snprintf(row.value, sizeof(row.value), "unix:%s/%s.sock", directory, listener->name);
        if (size >= (int)sizeof(row.value))
            reader_fail_at(reader, row.line, "runtime_dir = %s: too long", directory);
        else
            apply_bind(reader, &row, listener);
    }
}
