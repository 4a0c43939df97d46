/*
 * Titles as others see them, in /proc. A title stands where the arguments of a process are, so each case is a process
 * of its own: this program, executed with the arguments and the environment of the case, which writes what has become
 * of them.
 */
#include "common/title.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <bsd/string.h>

enum { ROOM = 64, HOPELESS = ROOM + 2 * PATH_MAX, TEXT_SIZE = 1 << 16 };

static const char room_name[] = "CCSERVER_TITLE_ROOM";

/* ---- in the process of a case ---- */

static void show(const char *name)
{
    char text[TEXT_SIZE];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, text, sizeof(text));

    close(fd);
    if (size < 0 || write(STDOUT_FILENO, text, (size_t)size) != size)
        _exit(2);
}

static void show_text(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(2);
}

/* What the letters say, in their order. */
static int run_case(int argc, char **argv, char **environment, const char *letters)
{
    char todo[16], title[256]; /* copied: titles stand where the environment was */

    alarm(UNIT_PATIENCE_S);
    strlcpy(todo, letters, sizeof(todo));
    strlcpy(title, getenv("TITLE") ? getenv("TITLE") : "", sizeof(title));
    const char *file = getenv("TITLE_FILE");
    for (const char *letter = todo; *letter; letter++)
        switch (*letter) {
        case 'r': title_make_room(argc, argv, environment); break;
        case 'R': title_make_room(0, argv, environment); break; /* executed without any argument */
        case 'i': title_init(argc, argv, environment, file); break;
        case 'I': title_init(0, argv, environment, file); break;
        case 's': title_set("%s", title); break;
        case 'm': title_set("master"); break;
        case '0': show_text(argv[0]); break;
        case 'e': show_text(getenv(room_name) ? getenv(room_name) : "none"); break;
        case 'E': show_text(getenv("TITLE_LAST") ? getenv("TITLE_LAST") : "none"); break;
        case 'l': show("/proc/self/cmdline"); break;
        case 'c': show("/proc/self/comm"); break;
        }
    return EXIT_SUCCESS;
}

/* ---- in the test ---- */

static char shown[TEXT_SIZE]; /* by the last case */
static size_t shown_size;

static void run(char **arguments, char **environment, const char *folder)
{
    int ends[2], status;

    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if ((folder && chdir(folder) < 0) || dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(3);
        close(ends[0]);
        close(ends[1]);
        execve("/proc/self/exe", arguments, environment);
        _exit(4);
    }
    close(ends[1]);
    shown_size = 0;
    for (ssize_t n; (n = read(ends[0], shown + shown_size, sizeof(shown) - 1 - shown_size)) > 0;)
        shown_size += (size_t)n;
    shown[shown_size] = '\0';
    close(ends[0]);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

static char filling[4096]; /* an environment that is long enough for all titles */

static void show_title(const char *todo, const char *title, const char *file, const char *folder)
{
    char what[64], which[256], name[HOPELESS + 2048];
    char *environment[] = {what, which, filling, file ? name : NULL, NULL};

    snprintf(what, sizeof(what), "CASE=%s", todo);
    snprintf(which, sizeof(which), "TITLE=%s", title);
    snprintf(name, sizeof(name), "TITLE_FILE=%s", file ? file : "");
    run((char *[]){"a program with quite a long name", "-c", "and a file with one that is even longer", NULL},
        environment, folder);
}

static void check_title(const char *todo, const char *title, const char *file, const char *folder, const char *expected)
{
    show_title(todo, title, file, folder);
    CU_ASSERT_STRING_EQUAL(shown, expected);
    if (strcmp(shown, expected) != 0)
        printf("\n    '%s', not '%s'\n", shown, expected);
    for (size_t i = strlen(shown); i < shown_size; i++) /* nothing of what stood there */
        CU_ASSERT_EQUAL_FATAL(shown[i], '\0');
}

static void test_titles(void)
{
    check_title("isl", "master", "/etc/ccserver.conf", NULL, "ccserver: master /etc/ccserver.conf");
    check_title("isl", "bank worker 12", "/etc/ccserver.conf", NULL, "ccserver: bank worker 12 /etc/ccserver.conf");
    check_title("isml", "bank worker 12", "/etc/ccserver.conf", NULL, "ccserver: master /etc/ccserver.conf");
    check_title("isl", "master", "", NULL, "ccserver: master");
    check_title("isl", "master", NULL, NULL, "ccserver: master");
    check_title("isl", "m", NULL, NULL, "ccserver: m"); /* shorter than argv[0] was */
}

/* What a title says of itself is cut, the file is not. */
static void test_long_title(void)
{
    char title[200], expected[128];

    memset(title, 'x', sizeof(title) - 1);
    title[sizeof(title) - 1] = '\0';
    snprintf(expected, sizeof(expected), "ccserver: %.63s /f", title);
    check_title("isl", title, "/f", NULL, expected);
}

/* Two servers with the same relative path may have been started in two folders. */
static void test_relative_file(void)
{
    check_title("isl", "master", "conf", "/proc", "ccserver: master /proc/conf");
    check_title("isl", "master", "a/conf", "/", "ccserver: master /a/conf");
    check_title("isl", "master", "/a/conf", "/proc", "ccserver: master /a/conf");
}

/* What leaves no room for the folder stands without it. How far it goes is up to setproctitle(). */
static void test_endless_file(void)
{
    static char file[2 * PATH_MAX - 1];

    memset(file, 'x', sizeof(file) - 1);
    show_title("isl", "m", file, "/");
    CU_ASSERT_EQUAL(strncmp(shown, "ccserver: m xxx", 15), 0);
    file[sizeof(file) - 2] = '\0';
    show_title("isl", "m", file, "/");
    CU_ASSERT_EQUAL(strncmp(shown, "ccserver: m /xxx", 16), 0);
}

/* A title that is shorter than the only argument, by much or by little. */
static void test_one_argument(void)
{
    for (size_t size = 1; size < 40; size++) {
        char argument[64] = "";
        memset(argument, 'a', size);
        run((char *[]){argument, NULL}, (char *[]){"CASE=isl", "TITLE=master", filling, NULL}, NULL);
        size_t title = strlen("ccserver: master"); /* setproctitle() adds a blank to one that is as long as argv[0] */
        CU_ASSERT_STRING_EQUAL(shown, size == title ? "ccserver: master " : "ccserver: master");
        for (size_t i = strlen(shown); i < shown_size; i++)
            CU_ASSERT_EQUAL_FATAL(shown[i], '\0');
    }
}

static void test_short_name(void)
{
    check_title("ic", "", "/f", NULL, "ccserver\n");
}

/* Before title_init(), and where there are no arguments to write over, nothing happens. */
static void test_no_title(void)
{
    static const char arguments[] = "a\0-c\0file";
    static const char *const todo[] = {"CASE=sl", "CASE=Isl"};

    for (unsigned i = 0; i < 2; i++) {
        run((char *[]){"a", "-c", "file", NULL}, (char *[]){(char *)todo[i], "TITLE=x", filling, NULL}, NULL);
        CU_ASSERT_EQUAL(shown_size, sizeof(arguments));
        CU_ASSERT_EQUAL(memcmp(shown, arguments, sizeof(arguments)), 0);
    }
}

/* ---- room ---- */

static size_t room_for(const char *longest)
{
    char folder[PATH_MAX];

    return ROOM + strlen(longest) + strlen(getcwd(folder, sizeof(folder)));
}

/* A process that has `spare` bytes more than it needs for its titles; -1: one less. */
static void run_with(const char *todo, int spare, const char *argument)
{
    static char last[HOPELESS * 2];
    char what[64], *arguments[] = {"a", (char *)argument, NULL}, *environment[] = {what, last, NULL};

    snprintf(what, sizeof(what), "CASE=%s", todo);
    size_t used = sizeof("a") + strlen(argument) + 1 + strlen(what) + 1;
    size_t size = room_for(argument) + (size_t)spare - used - 1;
    memset(last, '.', size);
    memcpy(last, "TITLE_LAST=", strlen("TITLE_LAST="));
    last[size] = '\0';
    run(arguments, environment, NULL);
}

/* The same program, arguments and environment, with one variable more. */
static void test_room_is_made(void)
{
    const char *file = "/etc/ccserver/with/a/longer/name.conf";

    for (int spare = -1; spare <= 1; spare++) {
        run_with("re", spare, file);
        if (spare < 0) {
            CU_ASSERT_EQUAL(shown_size, room_for(file));
            CU_ASSERT_EQUAL(strspn(shown, "-"), room_for(file));
        } else {
            CU_ASSERT_STRING_EQUAL(shown, "none");
        }
    }
    run_with("rl", -1, file);
    CU_ASSERT_EQUAL(shown_size, strlen(file) + 3);
    CU_ASSERT_EQUAL(memcmp(shown, "a", 2), 0);
    CU_ASSERT_STRING_EQUAL(shown + 2, file);
    run_with("rE", -1, file);
    CU_ASSERT_EQUAL(strspn(shown, "."), shown_size);
    CU_ASSERT(shown_size > 0);
}

/* The longest argument may be any of them: each of them may be the path that titles end with. */
static void test_longest_argument(void)
{
    static char *orders[][4] = {{"a", "longest argument", "-c", NULL}, {"longest argument", "a", "-c", NULL}};

    for (unsigned i = 0; i < 2; i++) {
        run(orders[i], (char *[]){"CASE=re", NULL}, NULL);
        CU_ASSERT_EQUAL(strspn(shown, "-"), room_for("longest argument"));
    }
}

/* Executed without arguments: it gets a name. Room has been made then, whatever there was. */
static void test_no_arguments(void)
{
    run((char *[]){"x", NULL}, (char *[]){"CASE=R0", filling, NULL}, NULL);
    CU_ASSERT_STRING_EQUAL(shown, "ccserver");
    run((char *[]){"x", NULL}, (char *[]){"CASE=Re", filling, NULL}, NULL);
    CU_ASSERT_EQUAL(strspn(shown, "-"), room_for("ccserver"));
}

/* Room that nobody can make is not asked for. */
static void test_hopeless(void)
{
    static char argument[HOPELESS];

    for (unsigned i = 0; i < 2; i++) {
        size_t size = HOPELESS - room_for("") - !i;
        memset(argument, 'x', size);
        argument[size] = '\0';
        run((char *[]){"a", argument, NULL}, (char *[]){"CASE=re", NULL}, NULL);
        if (i == 0)
            CU_ASSERT_EQUAL(shown_size, HOPELESS - 1);
        if (i == 1)
            CU_ASSERT_STRING_EQUAL(shown, "none");
    }
}

int main(int argc, char **argv, char **environment)
{
    static const struct unit_test tests[] = {
        {"titles", test_titles},
        {"long title", test_long_title},
        {"relative file", test_relative_file},
        {"endless file", test_endless_file},
        {"one argument", test_one_argument},
        {"short name", test_short_name},
        {"no title", test_no_title},
        {"room is made", test_room_is_made},
        {"longest argument", test_longest_argument},
        {"no arguments", test_no_arguments},
        {"hopeless", test_hopeless},
        {0},
    };
    if (getenv("CASE"))
        return run_case(argc, argv, environment, getenv("CASE"));
    memset(filling, 'f', sizeof(filling) - 1);
    memcpy(filling, "FILL=", strlen("FILL="));
    return unit_main("title", tests);
}
