/*
 * The configuration: any file is read, or refused with a sentence that names it; what -T prints of it means the same.
 */
#include "master/conf/conf.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A path that leads to these bytes; `*fd` is the caller's. */
static const char *file_of(const void *bytes, size_t size, int *fd)
{
    static char path[64];

    *fd = memfd_create("conf", MFD_CLOEXEC);
    if (*fd < 0 || write(*fd, bytes, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
    return path;
}

/* Nobody is asked: every name is this machine, at two addresses. */
static bool ask(struct resolver *resolver, const char *host, struct resolve_answer *answer)
{
    (void)resolver;
    (void)host;
    *answer = (struct resolve_answer){.count = 2};
    for (unsigned i = 0; i < 2; i++)
        answer->addresses[i].four = (struct sockaddr_in){.sin_family = AF_INET,
                                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i)};
    return true;
}

static int load(struct conf *conf, const char *path, char *why, size_t why_size)
{
    static struct resolver resolver = {.ask = ask};
    const struct conf_source source = {.path = path, .resolver = &resolver};

    return conf_load_from(conf, &source, why, why_size);
}

static char *print(const struct conf *conf, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    if (!out)
        abort();
    conf_print(conf, out);
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct conf conf;
    char why[512] = "";
    size_t first_size, second_size;
    int fd;

    const char *path = file_of(bytes, size, &fd);
    if (load(&conf, path, why, sizeof(why)) < 0) {
        if (strncmp(why, path, strlen(path)) != 0)
            abort();
        close(fd);
        return 0;
    }
    close(fd);
    char *first = print(&conf, &first_size);
    conf_free(&conf);
    path = file_of(first, first_size, &fd);
    if (load(&conf, path, why, sizeof(why)) < 0)
        abort();
    close(fd);
    char *second = print(&conf, &second_size);
    if (first_size != second_size || memcmp(first, second, first_size) != 0)
        abort();
    conf_free(&conf);
    free(first);
    free(second);
    return 0;
}
