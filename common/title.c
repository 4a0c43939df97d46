#include "common/title.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <bsd/unistd.h>

enum { ROOM = 64 }; /* for all of a title but the file */

static const char variable[] = "CCSERVER_TITLE_ROOM";
static char suffix[2 * PATH_MAX];
static char *begin, *end; /* of argv[0], where titles stand; NULL: they are not set */

/* ---- room ---- */

static size_t size_of_all(char **strings)
{
    size_t size = 0;

    for (; *strings; strings++)
        size += strlen(*strings) + 1;
    return size;
}

/* A relative path of a file is one of the arguments, and is shown with the working directory before it. */
static size_t room_wanted(char **argv)
{
    char directory[PATH_MAX];
    size_t longest = 0;

    for (; *argv; argv++)
        if (strlen(*argv) > longest)
            longest = strlen(*argv);
    return ROOM + longest + (getcwd(directory, sizeof(directory)) ? strlen(directory) : 0);
}

void title_make_room(int argc, char **argv, char **environment)
{
    static char name[] = "ccserver", *just_the_name[] = {name, NULL};
    char **arguments = argc > 0 ? argv : just_the_name;
    char padding[ROOM + 2 * PATH_MAX] = "";
    size_t wanted = room_wanted(arguments);

    if (getenv(variable) || wanted >= sizeof(padding))
        return; /* it has been done already, or is hopeless */
    if (argc > 0 && size_of_all(argv) + size_of_all(environment) >= wanted)
        return;
    memset(padding, '-', wanted);
    if (setenv(variable, padding, 1) == 0)
        execv("/proc/self/exe", arguments);
}

/* ---- titles ---- */

/* Two instances may have been started in different folders with the same relative path. */
static void set_suffix(const char *file)
{
    char directory[PATH_MAX] = "";
    const char *slash = "";

    if (!file || file[0] == '\0')
        return;
    if (file[0] != '/' && getcwd(directory, sizeof(directory)))
        slash = strcmp(directory, "/") == 0 ? "" : "/";
    if (snprintf(suffix, sizeof(suffix), " %s%s%s", directory, slash, file) >= (int)sizeof(suffix))
        snprintf(suffix, sizeof(suffix), " %.*s", PATH_MAX - 1, file);
}

void title_init(int argc, char **argv, char **environment, const char *file)
{
    set_suffix(file);
    if (argc > 0) {
        begin = argv[0];
        end = argv[0] + strlen(argv[0]);
    }
    setproctitle_init(argc, argv, environment);
    /* The short name, which ps -C and top show, is that of the file that was executed: a link, or /proc/self/exe. */
    prctl(PR_SET_NAME, "ccserver");
}

void title_set(const char *format, ...)
{
    char text[ROOM];
    va_list arguments;

    if (!begin)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    setproctitle("-ccserver: %s%s", text, suffix); /* "-": without the name of the program, which is argv[0]'s */
    /* It leaves a '.' where argv[0] ended. /proc shows all that stands in the place of the arguments. */
    if (strlen(begin) < (size_t)(end - begin))
        *end = '\0';
}
