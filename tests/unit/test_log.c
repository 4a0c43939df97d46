/*
 * The log: what is written, where, and what becomes of what cannot be written.
 */
#include "common/backtrace.h"
#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { TEXT_SIZE = 1 << 16 };

#define DATE "20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}"

static char folder[] = "/tmp/ccserver-log-XXXXXX";
static char path[64], old_path[64], other_path[64];

static const char *text_of(const char *name)
{
    static char text[TEXT_SIZE];
    FILE *file = fopen(name, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static unsigned lines_of(const char *name)
{
    unsigned lines = 0;

    for (const char *text = text_of(name); (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t compiled;

    CU_ASSERT_EQUAL_FATAL(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

/* A fresh file. */
static void begin(void)
{
    unlink(path);
    CU_ASSERT_EQUAL_FATAL(log_open(path), 0);
    log_set_level(LOG_LEVEL_INFO);
    log_set_role("tester");
}

static void test_line(void)
{
    char pattern[128];
    struct stat status;

    begin();
    log_notice("worker %d is %s", 7, "ready");
    snprintf(pattern, sizeof(pattern), "^" DATE " notice tester\\[%d\\]: worker 7 is ready\n$", (int)getpid());
    CU_ASSERT(matches(text_of(path), pattern));
    CU_ASSERT_EQUAL(stat(path, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 007, 0);
}

static void test_levels(void)
{
    static const char *const names[] = {"debug", "info", "notice", "warn", "error"};

    for (unsigned least = 0; least < 5; least++) {
        begin();
        log_set_level((enum log_level)least);
        for (unsigned i = 0; i < 5; i++) {
            CU_ASSERT_EQUAL(log_enabled((enum log_level)i), i >= least);
            log_write((enum log_level)i, "level=%s", names[i]);
        }
        CU_ASSERT_EQUAL(lines_of(path), 5 - least);
        for (unsigned i = 0; i < 5; i++) {
            char wanted[64];
            snprintf(wanted, sizeof(wanted), " %s tester[%d]: level=%s\n", names[i], (int)getpid(), names[i]);
            CU_ASSERT_EQUAL(strstr(text_of(path), wanted) != NULL, i >= least);
        }
    }
}

static void test_role_is_cut(void)
{
    begin();
    log_set_role("a role of more than twenty-three characters");
    log_info("x");
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), " info a role of more than twe["));
}

static void test_appends(void)
{
    begin();
    log_info("one");
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    CU_ASSERT_EQUAL(log_open(path), 0);
    log_info("two");
    CU_ASSERT(matches(text_of(path), "one\n.*two\n$"));
}

static void test_reopen(void)
{
    begin();
    log_info("before");
    CU_ASSERT_EQUAL(rename(path, old_path), 0);
    log_info("meanwhile");
    CU_ASSERT_EQUAL(log_reopen(), 0);
    log_info("after");
    CU_ASSERT_EQUAL(lines_of(old_path), 2);
    CU_ASSERT_EQUAL(lines_of(path), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "after"));
}

/* The folder is gone: the old file stays in use. */
static void test_reopen_fails(void)
{
    char inner[96], file[128];

    snprintf(inner, sizeof(inner), "%s/inner", folder);
    snprintf(file, sizeof(file), "%s/log", inner);
    CU_ASSERT_EQUAL_FATAL(mkdir(inner, 0700), 0);
    CU_ASSERT_EQUAL_FATAL(log_open(file), 0);
    CU_ASSERT_EQUAL(rename(file, old_path), 0);
    CU_ASSERT_EQUAL(rmdir(inner), 0);
    errno = 0;
    CU_ASSERT_EQUAL(log_reopen(), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    log_info("still here");
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(old_path), "still here"));
}

static void test_open_fails(void)
{
    begin();
    errno = 0;
    CU_ASSERT_EQUAL(log_open("/nowhere/at/all"), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    log_info("still here");
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "still here"));
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Files that are left are closed: otherwise each rotation costs a descriptor. */
static void test_descriptors(void)
{
    begin();
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(log_reopen(), 0);
        CU_ASSERT_EQUAL(log_open(i % 2 ? path : other_path), 0);
        CU_ASSERT_EQUAL(log_open("/nowhere/at/all"), -1);
    }
    CU_ASSERT_EQUAL(open_descriptors(), before);
}

static void test_control_characters(void)
{
    begin();
    log_info("a\nb\rc\033[31md\001e\177f\tg %s", "2026-01-01 00:00:00.000 fatal master[1]: forged\nline");
    CU_ASSERT_EQUAL(lines_of(path), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "a?b?c?[31md?e?f?g "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "forged?line\n"));
    for (const char *text = text_of(path); *text; text++)
        CU_ASSERT((unsigned char)*text >= ' ' || *text == '\n');
}

static void test_bytes_above_ascii(void)
{
    begin();
    log_info("Gr\xc3\xbc\xc3\x9f"
             "e");
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "Gr\xc3\xbc\xc3\x9f"
                                                 "e\n"));
}

static void test_overlong(void)
{
    static char message[5000];

    for (size_t size = 900; size < sizeof(message); size += size < 1100 ? 1 : 700) {
        begin();
        memset(message, 'x', size);
        message[size] = '\0';
        log_info("%s", message);
        const char *text = text_of(path);
        CU_ASSERT(strlen(text) <= 1024);
        CU_ASSERT(strlen(text) > 900);
        CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
    }
}

static void test_empty(void)
{
    begin();
    log_info("%s", "");
    CU_ASSERT_EQUAL(lines_of(path), 1);
}

static void test_errno_is_kept(void)
{
    begin();
    errno = ENOTTY;
    log_info("x");
    CU_ASSERT_EQUAL(errno, ENOTTY);
    CU_ASSERT_EQUAL(log_open("/dev/full"), 0);
    errno = ENOTTY;
    log_info("x");
    CU_ASSERT_EQUAL(errno, ENOTTY);
    begin();
    log_info("x");
}

static void test_full_disk(void)
{
    begin();
    CU_ASSERT_EQUAL_FATAL(log_open("/dev/full"), 0);
    for (unsigned i = 0; i < 3; i++)
        log_info("lost");
    CU_ASSERT_EQUAL(log_open(path), 0);
    log_info("found");
    log_info("next");
    CU_ASSERT(matches(text_of(path), "\\(3 lines could not be written\\) found\n"));
    CU_ASSERT(matches(text_of(path), "\\]: next\n"));
    CU_ASSERT_EQUAL(lines_of(path), 2);
}

/* Lines from one place within one second, when the clock has not gone on to the next meanwhile. */
static void test_limited(void)
{
    struct log_limit limit = {0};
    uint64_t second;

    do {
        begin();
        limit = (struct log_limit){0};
        second = clock_now_ms() / 1000;
        for (unsigned i = 0; i < 10; i++)
            log_limited(&limit, 3, LOG_LEVEL_WARN, "flood %u", i);
    } while (clock_now_ms() / 1000 != second);
    CU_ASSERT_EQUAL(lines_of(path), 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "flood 2\n"));

    limit.second--; /* the second is over */
    log_limited(&limit, 3, LOG_LEVEL_WARN, "again");
    CU_ASSERT(matches(text_of(path), "warn .*: 7 lines like the next one were held back\n.* warn .*: again\n$"));
    CU_ASSERT_EQUAL(lines_of(path), 5);
}

static void test_limited_level(void)
{
    struct log_limit limit = {0};

    begin();
    for (unsigned i = 0; i < 10; i++)
        log_limited(&limit, 3, LOG_LEVEL_DEBUG, "unseen");
    CU_ASSERT_EQUAL(lines_of(path), 0);
}

/* Processes that share the file do not mix their lines. */
static void test_shared_file(void)
{
    enum { CHILDREN = 4, LINES = 500 };
    char message[400];

    begin();
    memset(message, 'm', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    for (unsigned i = 0; i < CHILDREN; i++) {
        if (fork() != 0)
            continue;
        for (unsigned j = 0; j < LINES; j++)
            log_info("%s", message);
        _exit(0);
    }
    for (unsigned i = 0; i < CHILDREN; i++)
        wait(NULL);
    FILE *file = fopen(path, "r");
    char line[1024];
    unsigned lines = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (; fgets(line, sizeof(line), file); lines++)
        CU_ASSERT(matches(line, "^" DATE " info tester\\[[0-9]+\\]: m{200}m{199}\n$"));
    CU_ASSERT_EQUAL(lines, CHILDREN * LINES);
    fclose(file);
}

static void test_fatal(void)
{
    int status;

    begin();
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        log_fatal("broken %s", "invariant");
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CU_ASSERT(matches(text_of(path), " fatal tester\\[[0-9]+\\]: broken invariant\n$"));
}

/* From a handler: to where the log goes, with the role, and without anything that could be locked. */
static void test_abort_line(void)
{
    begin();
    int fd = log_descriptor();
    struct stat log_status, status;
    CU_ASSERT(fd > STDERR_FILENO);
    CU_ASSERT_EQUAL(fstat(fd, &log_status), 0);
    CU_ASSERT_EQUAL(stat(path, &status), 0);
    CU_ASSERT(log_status.st_ino == status.st_ino && log_status.st_dev == status.st_dev);
    log_set_level(LOG_LEVEL_FATAL);
    log_abort_line("aborted\there");
    log_abort_line("");
    CU_ASSERT_STRING_EQUAL(text_of(path), "tester: aborted\there\ntester: \n");
    CU_ASSERT_EQUAL(log_open("syslog"), 0);
    CU_ASSERT_EQUAL(log_descriptor(), STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    CU_ASSERT_EQUAL(log_descriptor(), STDERR_FILENO);
}

/* A child that aborts, or is aborted, says where; and dies of it all the same. */
static void test_backtrace(void)
{
    for (unsigned others = 0; others < 2; others++) {
        int status;
        begin();
        pid_t pid = fork();
        if (pid == 0) {
            backtrace_on_abort();
            if (!others)
                abort();
            kill(getpid(), SIGABRT);
            _exit(1);
        }
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "tester: aborted; the last calls were"));
        CU_ASSERT(lines_of(path) >= 3);
        CU_ASSERT_PTR_NOT_NULL(strstr(text_of(path), "test_log"));
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"line", test_line},
        {"levels", test_levels},
        {"role is cut", test_role_is_cut},
        {"appends", test_appends},
        {"reopen", test_reopen},
        {"reopen fails", test_reopen_fails},
        {"open fails", test_open_fails},
        {"descriptors", test_descriptors},
        {"control characters", test_control_characters},
        {"bytes above ASCII", test_bytes_above_ascii},
        {"overlong", test_overlong},
        {"empty", test_empty},
        {"errno is kept", test_errno_is_kept},
        {"full disk", test_full_disk},
        {"limited", test_limited},
        {"limited, level", test_limited_level},
        {"shared file", test_shared_file},
        {"fatal", test_fatal},
        {"abort line", test_abort_line},
        {"backtrace", test_backtrace},
        {0},
    };

    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(path, sizeof(path), "%s/log", folder);
    snprintf(old_path, sizeof(old_path), "%s/old", folder);
    snprintf(other_path, sizeof(other_path), "%s/other", folder);
    int result = unit_main("log", tests);
    unlink(path);
    unlink(old_path);
    unlink(other_path);
    rmdir(folder);
    return result;
}
