#include "master/ctl/terminal.h"
#include "common/clock.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, without a cursor; and back. */
static const char enter_codes[] = "\033[?1049h\033[?25l\033[H\033[2J", leave_codes[] = "\033[0m\033[?25h\033[?1049l";

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static bool is_open, is_gone;
static struct termios saved;
static struct sigaction saved_actions[SIGNALS];
static sigset_t saved_mask;
static volatile sig_atomic_t end_signo, got_stop, got_continue, got_resize;

/* ---- signals ---- */

static void on_signal(int signo)
{
    if (signo == SIGTSTP)
        got_stop = 1;
    else if (signo == SIGCONT)
        got_continue = 1;
    else if (signo == SIGWINCH)
        got_resize = 1;
    else
        end_signo = signo;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: they end a write that waits */
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < SIGNALS; i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, &saved_mask);
    for (unsigned i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], &action, &saved_actions[i]);
        if (saved_actions[i].sa_handler == SIG_IGN) /* whoever has started us does not want it */
            sigaction(signals[i], &saved_actions[i], NULL);
    }
}

static void release_signals(void)
{
    for (unsigned i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &saved_actions[i], NULL);
    sigprocmask(SIG_SETMASK, &saved_mask, NULL);
}

/* ---- ours, and back ---- */

void terminal_write(const char *text, size_t size)
{
    sigset_t blocked;

    sigprocmask(SIG_SETMASK, &saved_mask, &blocked);
    while (size > 0 && !end_signo && !got_stop) {
        ssize_t written = write(STDOUT_FILENO, text, size);
        if (written < 0 && errno != EINTR) {
            is_gone = errno != EAGAIN;
            break;
        }
        text += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static bool enter(void)
{
    struct termios ours = saved;

    ours.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    ours.c_cc[VMIN] = ours.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &ours) < 0)
        return false;
    terminal_write(enter_codes, strlen(enter_codes));
    return true;
}

/* Also while the terminal takes nothing: then it keeps what it shows, but is usable again. */
static void leave(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};

    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    if (poll(&output, 1, 0) == 1 && write(STDOUT_FILENO, leave_codes, strlen(leave_codes)) < 0)
        is_gone = true;
}

bool terminal_is_one(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

bool terminal_open(void)
{
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return false;
    catch_signals();
    is_open = enter();
    if (!is_open)
        release_signals();
    return is_open;
}

int terminal_close(void)
{
    if (!is_open)
        return 0;
    tcflush(STDIN_FILENO, TCIFLUSH); /* keys that were meant for us */
    leave();
    release_signals();
    is_open = false;
    return end_signo;
}

/* What Ctrl-Z asks for. The shell has the terminal until we go on. */
static void stop(void)
{
    struct sigaction ours;
    sigset_t set, blocked;

    got_stop = 0;
    leave();
    sigaction(SIGTSTP, &(struct sigaction){.sa_handler = SIG_DFL}, &ours);
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &set, &blocked); /* here it stops */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    sigaction(SIGTSTP, &ours, NULL);
}

void terminal_size(unsigned *rows, unsigned *columns)
{
    struct winsize size;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;

    *rows = is_known ? size.ws_row : 24;
    *columns = is_known ? size.ws_col : 80;
}

/* ---- waiting ---- */

static enum terminal_event look_at_signals(void)
{
    if (end_signo || is_gone)
        return TERMINAL_END;
    if (got_stop) {
        stop();
        got_continue = 1;
    }
    if (!got_continue && !got_resize)
        return TERMINAL_TIME;
    bool was_away = got_continue; /* the shell has had the terminal meanwhile */
    got_continue = got_resize = 0;
    return was_away && !enter() ? TERMINAL_END : TERMINAL_REDRAW;
}

enum terminal_event terminal_wait(uint64_t until_ms, char *key)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    for (;;) {
        enum terminal_event event = look_at_signals();
        uint64_t now_ms = clock_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        struct timespec patience = {.tv_sec = (time_t)(left_ms / 1000), .tv_nsec = (long)(left_ms % 1000) * 1000000};

        if (event != TERMINAL_TIME)
            return event;
        int ready = ppoll(&input, 1, &patience, &saved_mask);
        if (ready < 0 && errno != EINTR)
            return TERMINAL_END;
        if (ready == 0)
            return TERMINAL_TIME;
        if (ready < 0)
            continue;
        ssize_t size = read(STDIN_FILENO, key, 1);
        if (size == 1)
            return TERMINAL_KEY;
        if (size == 0 || errno != EINTR)
            return TERMINAL_END; /* nobody is there any more */
    }
}
