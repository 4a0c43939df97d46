/*
 * The log: what is written, where, and what becomes of what cannot be written.
 */
#include "common/backtrace.h"
#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

enum { TEXT_SIZE = 1 << 16, NOBODY = 65534 };

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

/* The last pattern is kept compiled: thousands of lines are compared with the same one. */
static bool matches(const char *text, const char *pattern)
{
    static char last[512];
    static regex_t compiled;

    if (strcmp(last, pattern) != 0) {
        if (last[0] != '\0')
            regfree(&compiled);
        CU_ASSERT_FATAL(strlen(pattern) < sizeof(last));
        strcpy(last, pattern);
        CU_ASSERT_EQUAL_FATAL(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    }
    return regexec(&compiled, text, 0, NULL, 0) == 0;
}

/* A fresh file. */
static void begin(void)
{
    unlink(path);
    errno = ENXIO; /* of something else */
    CU_ASSERT_EQUAL_FATAL(log_open(path), 0);
    log_set_level(LOG_LEVEL_INFO);
    log_set_role("tester");
}

/* What is written before the log has been opened, by main(), since each test leaves as many descriptors as it finds. */
static char first_lines[256];

static void log_unopened(void)
{
    int ends[2], saved = dup(STDERR_FILENO);
    char stream[64];
    struct stat status;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return;
    dup2(ends[1], STDERR_FILENO);
    fstat(STDERR_FILENO, &status);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_info("x");
    log_debug("not asked for");
    unsetenv("JOURNAL_STREAM");
    dup2(saved, STDERR_FILENO);
    close(saved);
    if (recv(ends[0], first_lines, sizeof(first_lines) - 1, MSG_DONTWAIT) < 0)
        first_lines[0] = '\0';
    close(ends[0]);
    close(ends[1]);
}

/* Until somebody says where the log goes it goes to the standard error, as whoever reads that wants it. */
static void test_never_opened(void)
{
    CU_ASSERT(matches(first_lines, "^<6>" DATE " info ccserver\\[[0-9]+\\]: x\n$"));
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

static uint64_t real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* To the millisecond, from a handler as well. */
static void test_time(void)
{
    for (unsigned i = 0; i < 20; i++) { /* that it is the first one of a second would be no proof */
        struct tm date = {0};
        begin();
        uint64_t before = real_ms();
        if (i % 2)
            log_info("x");
        else
            log_write_in_handler("x");
        uint64_t after = real_ms();
        const char *point = strptime(text_of(path), "%Y-%m-%d %H:%M:%S", &date);
        CU_ASSERT_PTR_NOT_NULL_FATAL(point);
        date.tm_isdst = -1;
        uint64_t said = (uint64_t)mktime(&date) * 1000 + (uint64_t)atoi(point + 1);
        CU_ASSERT(said >= before && said <= after);
    }
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

/* The answer to a question does not depend on the level. */
static void test_always(void)
{
    begin();
    log_set_level(LOG_LEVEL_FATAL);
    log_notice("held back");
    log_always("answer=%d", 42);
    CU_ASSERT_EQUAL(lines_of(path), 1);
    CU_ASSERT(matches(text_of(path), "^" DATE " notice tester\\[[0-9]+\\]: answer=42\n$"));
}

/* What a key of its own asks for does not depend on the level either. */
static void test_record(void)
{
    begin();
    log_set_level(LOG_LEVEL_FATAL);
    log_info("held back");
    log_record("session=%d", 42);
    CU_ASSERT_EQUAL(lines_of(path), 1);
    CU_ASSERT(matches(text_of(path), "^" DATE " info tester\\[[0-9]+\\]: session=42\n$"));
    begin();
    log_record_bare("{\"%d\":1}");
    CU_ASSERT_STRING_EQUAL(text_of(path), "{\"%d\":1}\n");
    uint64_t before = log_dropped();
    log_drop();
    CU_ASSERT_EQUAL(log_dropped(), before + 1);
    log_record_bare("{}");
    CU_ASSERT(matches(text_of(path), " warn tester\\[[0-9]+\\]: 1 line could not be written\n[{][}]\n$"));
}

static void test_role_is_cut(void)
{
    begin();
    log_set_role("a role of more than sixty-three characters, which no process should have");
    log_info("x");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text_of(path), " info a role of more than sixty-three characters, which no process sh["));
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
    CU_ASSERT(matches(text_of(path), " warn tester\\[[0-9]+\\]: 3 lines could not be written\n" DATE
                                     " info tester\\[[0-9]+\\]: found\n"));
    CU_ASSERT(matches(text_of(path), "\\]: next\n"));
    CU_ASSERT_EQUAL(lines_of(path), 3);
}

/* One line is no lines; and what a handler cannot write is counted as well. */
static void test_one_line_dropped(void)
{
    begin();
    uint64_t before = log_dropped();
    CU_ASSERT_EQUAL_FATAL(log_open("/dev/full"), 0);
    log_write_in_handler("lost");
    CU_ASSERT_EQUAL(log_dropped(), before + 1);
    CU_ASSERT_EQUAL(log_open(path), 0);
    log_write_in_handler("of a handler"); /* which does not count for a report */
    log_info("found");
    CU_ASSERT(matches(text_of(path), "^[^\n]* of a handler\n" DATE
                                     " warn tester\\[[0-9]+\\]: 1 line could not be written\n[^\n]* found\n$"));
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

/* Who has kept within his burst is not told of anything. */
static void test_nothing_held_back(void)
{
    struct log_limit limit = {.second = 1, .written = 3};

    begin();
    log_limited(&limit, 3, LOG_LEVEL_WARN, "next second");
    CU_ASSERT_EQUAL(lines_of(path), 1);
    CU_ASSERT_EQUAL(limit.written, 1);
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

/* From a handler: to where the log goes, with its own idea of the date. */
static void test_line_in_handler(void)
{
    setenv("TZ", "TST-5:30", 1); /* east of Greenwich */
    tzset();
    begin();
    log_info("first"); /* which looks up the time zone */
    log_set_level(LOG_LEVEL_FATAL);
    log_write_in_handler("crashed");
    log_write_in_handler("");
    CU_ASSERT(matches(text_of(path),
                      "first\n" DATE " error tester\\[[0-9]+\\]: crashed\n" DATE " error tester\\[[0-9]+\\]:\n$"));
    CU_ASSERT_EQUAL(strncmp(text_of(path), strchr(text_of(path), '\n') + 1, strlen("2026-11-23 10:20")), 0);
    unsetenv("TZ");
    tzset();
}

static void crash(int signo, bool by_kill)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    backtrace_on_crash();
    if (by_kill)
        kill(getpid(), signo);
    else if (signo == SIGABRT)
        abort();
    else
        raise(signo);
    _exit(1);
}

/* A child that crashes, or is aborted, says where; and dies of it all the same. */
static void test_backtrace(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

    for (unsigned i = 0; i < 2 * sizeof(signals) / sizeof(signals[0]); i++) {
        int signo = signals[i / 2], status;
        char headline[160];
        if (SANITIZED && signo != SIGABRT)
            continue; /* the sanitizer's to report */
        begin();
        pid_t pid = fork();
        if (pid == 0)
            crash(signo, i % 2);
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == signo);
        snprintf(headline, sizeof(headline), "^" DATE " error tester\\[%d\\]: .* by SIG%s .*, build id [0-9a-f]{16,}; ",
                 (int)pid, sigabbrev_np(signo));
        CU_ASSERT(matches(text_of(path), headline));
        CU_ASSERT(matches(text_of(path), "\\]:   tester\\(\\+0x[0-9a-f]+\\) \\[0x[0-9a-f]+\\]\n"));
        CU_ASSERT(lines_of(path) >= 4);
    }
}

/* There is no stack left to report it on. */
static unsigned overflow(volatile unsigned *depth)
{
    volatile unsigned next[256] = {*depth + 1};

    return *next == 0 ? 0 : overflow(next) + next[1];
}

static void test_stack_overflow(void)
{
    int status;

    if (SANITIZED)
        return;
    begin();
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        backtrace_on_crash();
        _exit((int)overflow(&(volatile unsigned){0}));
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CU_ASSERT(matches(text_of(path), "crashed by SIGSEGV at address 0x[0-9a-f]{6,}, "));
    CU_ASSERT(lines_of(path) >= 40);
}

/* ---- what cannot be written now ---- */

/* Reads what there is, without waiting. */
static const char *drain(int fd)
{
    static char text[1 << 20];
    size_t size = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
        size += (size_t)n;
    text[size] = '\0';
    return text;
}

/* Every line of `text` is one of ours, and whole; returns how many there are. Terminals end them with \r\n. */
static unsigned whole_lines(const char *text)
{
    unsigned lines = 0;

    for (const char *end; (end = strchr(text, '\n')); text = end + 1, lines++) {
        char line[1200];
        size_t size = (size_t)(end - text) - (end > text && end[-1] == '\r');
        snprintf(line, sizeof(line), "%.*s", (int)size, text);
        CU_ASSERT(matches(line, "^" DATE " (info tester\\[[0-9]+\\]: (x+ end|goes again)|warn tester\\[[0-9]+\\]: "
                                "[0-9]+ lines? could not be written)$"));
    }
    CU_ASSERT_EQUAL(*text, '\0');
    return lines;
}

static void flood(unsigned lines)
{
    static const char xs[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

    for (unsigned i = 0; i < lines; i++)
        log_info("%.*s end", (int)(1 + i % 80), xs);
}

static int direct_stderr_to(int fd)
{
    int saved = dup(STDERR_FILENO);

    begin();
    dup2(fd, STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    return saved;
}

static void restore_stderr(int saved)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    begin();
}

/*
 * Nobody reads the other end: some lines are dropped, none is waited for, none is torn, and what was dropped is said
 * once there is room again.
 */
static void expect_whole_or_dropped(int fd, int reader)
{
    int saved = direct_stderr_to(fd);
    uint64_t before = log_dropped();
    unsigned long long said = 0;
    char *all;

    flood(8000);
    uint64_t dropped = log_dropped() - before;
    CU_ASSERT(dropped > 0);
    char *text = strdup(drain(reader));
    log_info("goes again");
    CU_ASSERT_FATAL(asprintf(&all, "%s%s", text, drain(reader)) > 0);
    whole_lines(all);
    CU_ASSERT(matches(all, "goes again\r?\n$"));
    for (const char *report = all; (report = strstr(report, " warn "));
         report++) { /* a terminal may move on by itself */
        unsigned long long number = 0;
        CU_ASSERT_EQUAL(sscanf(report, " warn tester[%*d]: %llu", &number), 1);
        said += number;
    }
    CU_ASSERT_EQUAL(said, dropped);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    free(text);
    free(all);
    restore_stderr(saved);
}

/* Processes share it, and it is read in small pieces, so that it is full again and again. */
static void expect_whole_when_shared(int fd, int reader)
{
    enum { PROCESSES = 3 };
    static char text[1 << 22];
    int saved = direct_stderr_to(fd), status;
    unsigned left = PROCESSES;
    size_t size = 0;

    for (unsigned i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            flood(4000);
            _exit(0);
        }
    fcntl(reader, F_SETFL, O_NONBLOCK);
    while (left > 0 && size < sizeof(text) / 2) {
        ssize_t n = read(reader, text + size, 600);
        size += n > 0 ? (size_t)n : 0;
        while (left > 0 && waitpid(-1, &status, WNOHANG) > 0)
            left--;
    }
    CU_ASSERT_EQUAL(left, 0);
    while (wait(NULL) > 0)
        ;
    size += (size_t)snprintf(text + size, sizeof(text) - size, "%s", drain(reader));
    log_info("goes again");
    snprintf(text + size, sizeof(text) - size, "%s", drain(reader));
    whole_lines(text);
    restore_stderr(saved);
}

static void test_full_pipe(void)
{
    int ends[2];

    for (unsigned shared = 0; shared < 2; shared++) {
        CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
        if (shared)
            expect_whole_when_shared(ends[1], ends[0]);
        else
            expect_whole_or_dropped(ends[1], ends[0]);
        close(ends[0]);
        close(ends[1]);
    }
}

static void test_full_terminal(void)
{
    int ends[2];

    for (unsigned shared = 0; shared < 2; shared++) {
        CU_ASSERT_EQUAL_FATAL(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
        if (shared)
            expect_whole_when_shared(ends[1], ends[0]);
        else
            expect_whole_or_dropped(ends[1], ends[0]);
        close(ends[0]);
        close(ends[1]);
    }
}

static void test_full_socket(void)
{
    int ends[2];

    for (unsigned shared = 0; shared < 2; shared++) {
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        if (shared)
            expect_whole_when_shared(ends[1], ends[0]);
        else
            expect_whole_or_dropped(ends[1], ends[0]);
        close(ends[0]);
        close(ends[1]);
    }
}

/* The other end of a terminal, whose path would open a new one; it is asked for room. */
static void test_master_of_a_terminal(void)
{
    int ends[2];
    struct termios raw;

    CU_ASSERT_EQUAL_FATAL(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    tcgetattr(ends[1], &raw);
    cfmakeraw(&raw);
    tcsetattr(ends[1], TCSANOW, &raw);
    unsigned before = open_descriptors();
    int saved = direct_stderr_to(ends[0]);
    CU_ASSERT_EQUAL(open_descriptors(), before); /* the copy, without the file that was open before */
    for (unsigned i = 0; i < 3; i++) {
        log_info("x end");
        CU_ASSERT_EQUAL(whole_lines(drain(ends[1])), 1);
    }
    restore_stderr(saved);
    expect_whole_or_dropped(ends[0], ends[1]);
    close(ends[0]);
    close(ends[1]);
}

static bool would_wait; /* every file that is asked whether it would */

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    if (!would_wait)
        return syscall(SYS_pwritev2, fd, pieces, count, offset, 0L, flags);
    errno = EAGAIN;
    return -1;
}

/* A disk that is busy is no reason to drop a line: files and devices that nobody reads are not asked. */
static void test_busy_disk(void)
{
    static const char *const names[] = {other_path, "/dev/null"};

    for (unsigned i = 0; i < 2; i++) {
        int file = open(names[i], O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
        int saved = direct_stderr_to(file);
        uint64_t before = log_dropped();
        would_wait = true;
        log_info("x end");
        would_wait = false;
        CU_ASSERT_EQUAL(log_dropped(), before);
        restore_stderr(saved);
        close(file);
    }
    CU_ASSERT_EQUAL(whole_lines(text_of(other_path)), 1);
    unlink(other_path);
}

/* A pipe of another user cannot be opened once more: it is written to without waiting all the same. */
static void test_pipe_of_another_user(void)
{
    int ends[2], status;

    if (geteuid() != 0)
        return; /* nobody can become another user */
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0 || log_open("stderr") < 0)
            _exit(2);
        flood(2000);
        _exit(log_dropped() > 0 && (fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0 ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT(whole_lines(drain(ends[0])) > 100);
    close(ends[0]);
    close(ends[1]);
}

/* ---- the rest of a line ---- */

static bool holds_lock;                    /* somebody, for ever: then it is not waited for, but counted */
static unsigned pauses, pauses_until_free; /* 0: nobody lets go of it */
static unsigned char *rest;
static size_t rest_size;

int nanosleep(const struct timespec *time, struct timespec *left)
{
    static uint64_t ended_ms, pause_ms;
    uint64_t now_ms = clock_now_ms();

    (void)time, (void)left;
    if (++pauses == pauses_until_free)
        memset(rest, 0, rest_size);
    if (holds_lock)
        return 0;
    pause_ms = now_ms > ended_ms + 1 ? 1 : pause_ms < 50 ? 2 * pause_ms : pause_ms;
    usleep((useconds_t)pause_ms *
           1000); /* longer each time: who has the lock may have lost its CPU to other programs */
    ended_ms = clock_now_ms();
    return 0;
}

/* Where the rest is that all processes share; NULL: nowhere. */
static void *find_rest(size_t *size)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long start, end;
    char line[512];
    void *found = NULL;

    CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
    while (fgets(line, sizeof(line), maps))
        if (strstr(line, "ccserver-log") && sscanf(line, "%lx-%lx", &start, &end) == 2) {
            CU_ASSERT_PTR_NULL(found); /* there is one */
            found = (void *)start;
            *size = end - start;
        }
    fclose(maps);
    return found;
}

/* Nobody can cut it short under the others, not even who may open it. */
static void check_sealed(const char *shared, size_t size)
{
    char name[128];

    snprintf(name, sizeof(name), "/proc/self/map_files/%lx-%lx", (unsigned long)shared, (unsigned long)(shared + size));
    int file = open(name, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return; /* that takes a privilege */
    errno = 0;
    CU_ASSERT_EQUAL(ftruncate(file, 0), -1);
    CU_ASSERT_EQUAL(errno, EPERM);
    CU_ASSERT_EQUAL(ftruncate(file, 1 << 20), -1);
    CU_ASSERT_EQUAL(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), -1);
    close(file);
}

/* Only where a line may be taken in part do processes share anything. */
static void test_rest_is_shared(void)
{
    int ends[2];
    size_t size;

    begin();
    CU_ASSERT_PTR_NULL(find_rest(&size));
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    int saved = direct_stderr_to(ends[1]);
    const char *shared = find_rest(&size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(shared);
    check_sealed(shared, size);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    CU_ASSERT_PTR_NOT_NULL(find_rest(&size));
    restore_stderr(saved);
    CU_ASSERT_PTR_NULL(find_rest(&size));
    close(ends[0]);
    close(ends[1]);
}

/* A worker that has been taken over writes anything there: lines are written all the same, and soon. */
static void test_rest_is_overwritten(void)
{
    uint64_t random = 1;
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    int saved = direct_stderr_to(ends[1]);
    rest = find_rest(&rest_size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rest);
    holds_lock = true;
    for (unsigned i = 0; i < 100; i++) {
        pauses = 0;
        if (i < 2)
            memset(rest, 0xff, rest_size);
        else
            for (size_t j = 0; j < rest_size; j++)
                rest[j] = (unsigned char)unit_random(&random);
        log_info("x end");
        CU_ASSERT_EQUAL(whole_lines(drain(ends[0])), 1);
        CU_ASSERT_EQUAL(pauses, i == 0 ? 20 : 0); /* the lock is waited for once */
    }
    log_info("x end"); /* which it is not any more */
    memset(rest, 0xff, rest_size);
    pauses = 0;
    log_info("x end");
    CU_ASSERT_EQUAL(pauses, 20);
    log_info("x end");
    memset(rest, 0xff, rest_size); /* and this time for a moment only */
    pauses = 0;
    pauses_until_free = 3;
    log_info("x end");
    CU_ASSERT_EQUAL(pauses, 3);
    pauses_until_free = 0;
    CU_ASSERT_EQUAL(whole_lines(drain(ends[0])), 4);
    holds_lock = false;
    restore_stderr(saved);
    close(ends[0]);
    close(ends[1]);
}

static size_t most_at_once; /* that a socket takes; 0: what there is room for */

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return sendto(fd, bytes, most_at_once && size > most_at_once ? most_at_once : size, flags, NULL, 0);
}

/* A line in many pieces: what comes meanwhile is dropped, and the line is whole in the end. */
static void test_rest_in_pieces(void)
{
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    int saved = direct_stderr_to(ends[1]);
    most_at_once = 10;
    for (unsigned i = 0; i < 5; i++)
        log_info("%.*s end", 17 + (int)i, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    most_at_once = 0;
    log_info("goes again");
    CU_ASSERT_EQUAL(whole_lines(drain(ends[0])), 3); /* the first, the report, and the last */
    restore_stderr(saved);
    close(ends[0]);
    close(ends[1]);
}

/* What one socket has not taken is not written to another one, and comes first when the log is there again. */
static void test_rest_of_another_socket(void)
{
    int first[2], second[2];
    char *all;

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, first), 0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, second), 0);
    int saved = direct_stderr_to(first[1]);
    flood(8000);
    dup2(second[1], STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    log_info("goes again");
    CU_ASSERT_EQUAL(whole_lines(drain(second[0])), 2); /* and the report */
    char *text = strdup(drain(first[0]));
    dup2(first[1], STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    log_info("goes again");
    CU_ASSERT_FATAL(asprintf(&all, "%s%s", text, drain(first[0])) > 0);
    whole_lines(all);
    free(text);
    free(all);
    restore_stderr(saved);
    for (unsigned i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
}

/* A stopped terminal takes nothing, and everything once it goes on. */
static void test_stopped_terminal(void)
{
    int master, terminal, saved = dup(STDERR_FILENO);

    begin();
    CU_ASSERT_EQUAL_FATAL(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    dup2(terminal, STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    CU_ASSERT_EQUAL(tcflow(terminal, TCOOFF), 0);
    uint64_t before = log_dropped();
    flood(3);
    CU_ASSERT_EQUAL(log_dropped() - before, 3);
    CU_ASSERT_EQUAL(tcflow(terminal, TCOON), 0);
    log_info("goes again");
    CU_ASSERT_EQUAL(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    CU_ASSERT(matches(drain(master), " 3 lines could not be written\r\n.* goes again\r\n$"));
    dup2(saved, STDERR_FILENO);
    close(saved);
    begin();
    close(master);
    close(terminal);
}

/* A limit cuts a line in the middle: the part is taken back. */
static void test_file_size_limit(void)
{
    begin();
    for (unsigned limit = 10; limit < 1300; limit += limit < 1000 ? 990 : 7) { /* the first line, or a later one */
        begin();
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, RLIM_INFINITY});
            flood(100);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
            log_info("goes again");
            _exit(log_dropped() > 50 ? 0 : 1);
        }
        int status;
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT_EQUAL(status, 0);
        whole_lines(text_of(path));
        CU_ASSERT(matches(text_of(path), "lines could not be written\n.*goes again\n$"));
    }
}

/* The parent's drops are the parent's; what a process drops is also counted where it wants. */
static void test_dropped_is_counted(void)
{
    _Atomic uint64_t counter = 0;
    int status;

    begin();
    uint64_t before = log_dropped();
    CU_ASSERT_EQUAL(log_open("/dev/full"), 0);
    log_count_dropped_in(&counter);
    flood(2);
    CU_ASSERT_EQUAL(log_dropped(), before + 2);
    CU_ASSERT_EQUAL(counter, 2);
    pid_t pid = fork();
    if (pid == 0) {
        _Atomic uint64_t own = 0;
        if (log_dropped() != 0)
            _exit(2);
        flood(1);
        if (log_dropped() != 1 || counter != 2)
            _exit(3);
        pid = fork();
        log_count_dropped_in(&own); /* before anything is written */
        flood(1);
        if (own != 1)
            _exit(4);
        _exit(pid == 0 || (waitpid(pid, &status, 0) == pid && status == 0) ? 0 : 5);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    log_count_dropped_in(NULL);
    flood(1);
    CU_ASSERT_EQUAL(counter, 2);
    begin();
    flood(1);
}

/* Opening waits for no reader; until one comes lines are dropped, and also after it has gone. */
static void test_fifo(void)
{
    signal(SIGPIPE, SIG_IGN);
    unlink(path);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL_FATAL(log_open(path), 0);
    for (unsigned i = 0; i < 2; i++) {
        flood(3);
        CU_ASSERT_EQUAL(log_reopen(), 0);
        int reader = open(path, O_RDONLY | O_NONBLOCK);
        log_info("goes again");
        CU_ASSERT(matches(drain(reader), "^" DATE " warn [^\n]* 3 lines could not be written\n[^\n]* goes again\n$"));
        close(reader);
    }
    unlink(path);
    begin();
}

/* A link to what a container gives us; a socket among it can only be copied. */
static void test_links(void)
{
    int ends[2], saved = dup(STDERR_FILENO);

    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(i ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
        dup2(ends[1], STDERR_FILENO);
        unlink(other_path);
        CU_ASSERT_EQUAL(symlink("/dev/stderr", other_path), 0);
        CU_ASSERT_EQUAL(log_open(other_path), 0);
        log_info("x end");
        CU_ASSERT_EQUAL(whole_lines(drain(ends[0])), 1);
        dup2(saved, STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
    }
    close(saved);
    unlink(other_path);
    begin();
}

/* A server without standard input and output: what is copied takes their place no more than it must. */
static void test_copy_is_no_standard_descriptor(void)
{
    int ends[2], status;

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CU_ASSERT_EQUAL(symlink("/dev/stderr", other_path), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        if (log_open(other_path) < 0)
            _exit(1);
        log_info("x end");
        _exit(fcntl(STDIN_FILENO, F_GETFD) == -1 && fcntl(STDOUT_FILENO, F_GETFD) == -1 ? 0 : 2);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(whole_lines(drain(ends[0])), 1);
    close(ends[0]);
    close(ends[1]);
    unlink(other_path);
}

/* A FIFO that nobody reads, by a server without a standard input: its own reader takes that place for a moment. */
static void test_fifo_without_stdin(void)
{
    int status;

    unlink(path);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(STDIN_FILENO);
        _exit(log_open(path) == 0 && fcntl(STDIN_FILENO, F_GETFD) == -1 ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    begin();
}

static void test_socket_path(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    begin();
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    errno = 0;
    CU_ASSERT_EQUAL(log_open(address.sun_path), -1);
    CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
    int saved = dup(STDERR_FILENO), file = open(path, O_WRONLY | O_CLOEXEC);
    dup2(file, STDERR_FILENO); /* a file of the same file system is not that socket either */
    errno = 0;
    CU_ASSERT_EQUAL(log_open(address.sun_path), -1);
    CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    unlink(address.sun_path);
    close(fd);
}

/* There is none: that is an error as any other. */
static void test_no_terminal(void)
{
    int status;

    begin();
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        _exit(log_open("/dev/tty") == -1 && errno == ENXIO ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

/* The standard error is the process's, not the log's: it stays open, and a server may have none. */
static void test_stderr(void)
{
    int saved = dup(STDERR_FILENO), file = open(other_path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);

    begin();
    dup2(file, STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    log_info("x end");
    log_complain("ccserver: %s %d", "complaint", 1);
    begin();
    CU_ASSERT(fcntl(STDERR_FILENO, F_GETFD) >= 0);
    CU_ASSERT(matches(text_of(other_path), "^" DATE " info tester\\[[0-9]+\\]: x end\nccserver: complaint 1\n$"));
    close(STDERR_FILENO);
    CU_ASSERT_EQUAL(log_open("stderr"), 0);
    uint64_t before = log_dropped();
    log_info("lost");
    log_complain("lost");
    CU_ASSERT_EQUAL(log_dropped(), before + 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    unlink(other_path);
    begin();
    log_info("found");
    CU_ASSERT_EQUAL(lines_of(path), 2);
}

static void test_journal(void)
{
    int ends[2], saved = dup(STDERR_FILENO);
    char stream[64];
    struct stat status;

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    dup2(ends[1], STDERR_FILENO);
    fstat(STDERR_FILENO, &status);
    for (unsigned i = 0; i < 4; i++) { /* also of somebody else */
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev + (i == 2),
                 (uintmax_t)status.st_ino + (i == 1));
        if (i == 3)
            *strchr(stream, ':') = '\0';
        setenv("JOURNAL_STREAM", stream, 1);
        CU_ASSERT_EQUAL(log_open("stderr"), 0);
        log_set_level(LOG_LEVEL_DEBUG);
        for (unsigned level = LOG_LEVEL_DEBUG; level < LOG_LEVEL_FATAL; level++)
            log_write((enum log_level)level, "x");
        log_write_in_handler("x");
        log_complain("ccserver: x");
        const char *text = drain(ends[0]);
        CU_ASSERT_EQUAL(matches(text, "^<7>" DATE " debug .*\n<6>" DATE " info .*\n<5>.*\n<4>.*\n<3>" DATE
                                      " error .*\n<3>" DATE " error .*\n<3>ccserver: x\n$"),
                        i == 0);
        CU_ASSERT_EQUAL(strchr(text, '<') == NULL, i > 0);
        begin();
        log_info("x end");
        CU_ASSERT_EQUAL(whole_lines(text_of(path)), 1);
    }
    unsetenv("JOURNAL_STREAM");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

static unsigned observed;
static char observed_text[64];

static void observe(enum log_level level, const char *text)
{
    observed += level == LOG_LEVEL_NOTICE;
    snprintf(observed_text, sizeof(observed_text), "%s", text);
}

/* A line without what stands before it, but no answer to a question and no record; and not those of a child. */
static void test_observer(void)
{
    int status = -1;

    begin();
    log_set_observer(observe);
    log_notice("a %d", 1);
    CU_ASSERT_EQUAL(observed, 1);
    CU_ASSERT_STRING_EQUAL(observed_text, "a 1");
    log_always("b");
    log_record("b");
    log_record_bare("b");
    log_debug("c");
    CU_ASSERT_EQUAL(observed, 1);
    pid_t pid = fork();
    if (pid == 0) {
        log_notice("d");
        _exit(observed == 1 ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    log_set_observer(NULL);
    log_notice("e");
    CU_ASSERT_EQUAL(observed, 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"never opened", test_never_opened},
        {"line", test_line},
        {"observer", test_observer},
        {"time", test_time},
        {"levels", test_levels},
        {"always", test_always},
        {"record", test_record},
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
        {"one line dropped", test_one_line_dropped},
        {"limited", test_limited},
        {"nothing held back", test_nothing_held_back},
        {"limited, level", test_limited_level},
        {"shared file", test_shared_file},
        {"fatal", test_fatal},
        {"line in a handler", test_line_in_handler},
        {"backtrace", test_backtrace},
        {"stack overflow", test_stack_overflow},
        {"full pipe", test_full_pipe},
        {"full terminal", test_full_terminal},
        {"full socket", test_full_socket},
        {"master of a terminal", test_master_of_a_terminal},
        {"busy disk", test_busy_disk},
        {"pipe of another user", test_pipe_of_another_user},
        {"rest is shared", test_rest_is_shared},
        {"rest is overwritten", test_rest_is_overwritten},
        {"rest in pieces", test_rest_in_pieces},
        {"rest of another socket", test_rest_of_another_socket},
        {"stopped terminal", test_stopped_terminal},
        {"file size limit", test_file_size_limit},
        {"dropped is counted", test_dropped_is_counted},
        {"FIFO", test_fifo},
        {"links", test_links},
        {"copy is no standard descriptor", test_copy_is_no_standard_descriptor},
        {"FIFO without standard input", test_fifo_without_stdin},
        {"socket path", test_socket_path},
        {"no terminal", test_no_terminal},
        {"stderr", test_stderr},
        {"journal", test_journal},
        {0},
    };

    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(path, sizeof(path), "%s/log", folder);
    snprintf(old_path, sizeof(old_path), "%s/old", folder);
    snprintf(other_path, sizeof(other_path), "%s/other", folder);
    log_unopened();
    if (log_open(path) < 0) /* one descriptor, before each test as after it */
        return EXIT_FAILURE;
    int result = unit_main("log", tests);
    unlink(path);
    unlink(old_path);
    unlink(other_path);
    rmdir(folder);
    return result;
}
