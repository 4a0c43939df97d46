/*
 * The configuration: any file is read, or refused with a sentence that names it; what -T prints of it means the same.
 */
#include "master/conf.h"
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

    /* Names are not resolved here: an address of digits needs nobody. */
    if (memmem(bytes, size, "localhost", 9))
        return 0;
    const char *path = file_of(bytes, size, &fd);
    if (conf_load(&conf, path, why, sizeof(why)) < 0) {
        if (strncmp(why, path, strlen(path)) != 0)
            abort();
        close(fd);
        return 0;
    }
    close(fd);
    char *first = print(&conf, &first_size);
    conf_free(&conf);
    path = file_of(first, first_size, &fd);
    if (conf_load(&conf, path, why, sizeof(why)) < 0)
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
