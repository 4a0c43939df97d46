#include "master/ctl/top.h"
#include "common/clock.h"
#include "master/ctl/terminal.h"
#include "master/ctl/top_page.h"
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

enum { FIRST_DELAY_MS = 200, ERROR_SIZE = 512, TYPED_SIZE = TOP_FILTER_SIZE, STATUS_SIZE = 2 * SCREEN_WIDTH };

static const char help_text[] = "q quit, SPACE now; by P cpu, M memory, S sessions, R messages, N name; r / = d h";
static const char more_help_text[] = "r reverse the order, / filter by name, = no filter, d delay, h help";

/* What the last line is for. */
enum top_mode { MODE_STATUS, MODE_HELP, MODE_MORE_HELP, MODE_FILTER, MODE_DELAY };

struct top {
    struct server *server;
    struct top_view view;
    struct screen screen;
    uint64_t delay_ms;
    enum top_mode mode;
    char typed[TYPED_SIZE];                                   /* in MODE_FILTER and MODE_DELAY */
    enum { NO_SEQUENCE, AFTER_ESCAPE, IN_SEQUENCE } sequence; /* of an arrow key or its like */
    bool quits, reads_now;
};

/* Two readings: the rows come from both. Pages that nobody touches cost nothing. */
static struct top_reading readings[2];
static unsigned current;
static struct top_rows rows;

/* ---- reading and showing ---- */

static enum ctl_exit take(struct top *top, char error[ERROR_SIZE])
{
    enum ctl_exit result = server_read(top->server, error, ERROR_SIZE);

    if (result != CTL_DONE)
        return result;
    current = !current;
    top_read(top->server->area, &top->server->state, &readings[current]);
    return CTL_DONE;
}

static void print_status(const struct top *top, char line[STATUS_SIZE])
{
    static const char *const orders[] = {"cpu", "memory", "sessions", "messages", "name"};
    bool has_filter = top->view.filter[0] != '\0';

    switch (top->mode) {
    case MODE_STATUS:
        snprintf(line, STATUS_SIZE, "by %s%s%s%s, each %.4g s; h: help", orders[top->view.order],
                 top->view.reverse ? " in reverse" : "", has_filter ? ", only " : "", top->view.filter,
                 (double)top->delay_ms / 1000);
        break;
    case MODE_HELP: snprintf(line, STATUS_SIZE, "%s", help_text); break;
    case MODE_MORE_HELP: snprintf(line, STATUS_SIZE, "%s", more_help_text); break;
    case MODE_FILTER: snprintf(line, STATUS_SIZE, "only names with: %s_", top->typed); break;
    case MODE_DELAY: snprintf(line, STATUS_SIZE, "seconds between two screens: %s_", top->typed); break;
    }
}

static void print_page(struct top *top)
{
    char line[STATUS_SIZE];

    print_status(top, line);
    screen_begin(&top->screen);
    top_page_print(&top->screen, top->server, &rows);
    screen_end(&top->screen, line);
}

static void show_on_terminal(struct top *top)
{
    char *text = NULL;
    size_t size;

    terminal_size(&top->screen.rows, &top->screen.columns);
    if (top->screen.columns > SCREEN_WIDTH)
        top->screen.columns = SCREEN_WIDTH;
    top->screen.out = open_memstream(&text, &size);
    if (!top->screen.out)
        return; /* the next one may have memory again */
    print_page(top);
    fclose(top->screen.out);
    terminal_write(text, size);
    free(text);
}

static void show(struct top *top)
{
    top_rows_make(&top->server->state, &readings[!current], &readings[current], &top->view, &rows);
    if (top->screen.is_terminal)
        show_on_terminal(top);
    else
        print_page(top);
    fflush(stdout);
}

/* ---- keys ---- */

uint64_t top_parse_delay(const char *text)
{
    char *end;
    double ms = strtod(text, &end) * 1000;

    if (end == text || *end != '\0' || !(ms >= TOP_DELAY_MIN_MS && ms <= TOP_DELAY_MAX_MS))
        return 0;
    return (uint64_t)(ms + 0.5);
}

static void order_by(struct top *top, enum top_order order)
{
    top->view.order = order;
    top->view.reverse = false;
}

static void begin_typing(struct top *top, enum top_mode mode)
{
    top->mode = mode;
    top->typed[0] = '\0';
}

static void end_typing(struct top *top)
{
    uint64_t delay_ms = top_parse_delay(top->typed);

    if (top->mode == MODE_FILTER)
        strlcpy(top->view.filter, top->typed, sizeof(top->view.filter));
    else if (delay_ms > 0) /* else it stays as it is */
        top->delay_ms = delay_ms;
    top->mode = MODE_STATUS;
}

static void on_typed(struct top *top, char key)
{
    size_t size = strlen(top->typed);

    switch (key) {
    case '\r':
    case '\n': end_typing(top); break;
    case '\033': top->mode = MODE_STATUS; break;
    case '\b':
    case 0x7f: top->typed[size > 0 ? size - 1 : 0] = '\0'; break;
    case 'U' & 0x1f: top->typed[0] = '\0'; break;
    default:
        if (key >= ' ' && key < 0x7f && size + 1 < sizeof(top->typed)) {
            top->typed[size] = key;
            top->typed[size + 1] = '\0';
        }
    }
}

static void on_command(struct top *top, char key)
{
    switch (key) {
    case 'q': top->quits = true; break;
    case ' ': top->reads_now = true; break;
    case 'P': order_by(top, TOP_BY_CPU); break;
    case 'M': order_by(top, TOP_BY_MEMORY); break;
    case 'S': order_by(top, TOP_BY_SESSIONS); break;
    case 'R': order_by(top, TOP_BY_MESSAGES); break;
    case 'N': order_by(top, TOP_BY_NAME); break;
    case 'r': top->view.reverse = !top->view.reverse; break;
    case '/':
    case 'o':
    case 'O': begin_typing(top, MODE_FILTER); break;
    case '=': top->view.filter[0] = '\0'; break;
    case 'd':
    case 's': begin_typing(top, MODE_DELAY); break;
    case 'h':
    case '?': top->mode = top->mode == MODE_MORE_HELP ? MODE_STATUS : top->mode + 1; break;
    default: break;
    }
}

/* Arrow keys and their like are sequences, in which there are letters that mean something alone. */
static bool is_of_sequence(struct top *top, char key)
{
    bool begins = top->sequence == AFTER_ESCAPE && (key == '[' || key == 'O');

    if (top->sequence == IN_SEQUENCE) {
        top->sequence = key >= '@' && key <= '~' ? NO_SEQUENCE : IN_SEQUENCE;
        return true;
    }
    top->sequence = begins ? IN_SEQUENCE : key == '\033' ? AFTER_ESCAPE : NO_SEQUENCE;
    return begins;
}

static void on_key(struct top *top, char key)
{
    if (is_of_sequence(top, key))
        return;
    if (top->mode == MODE_FILTER || top->mode == MODE_DELAY)
        on_typed(top, key);
    else
        on_command(top, key);
}

/* ---- the two ways to run ---- */

/* Between the last reading and the next; the first two are closer together, so that there is soon something to see. */
static uint64_t delay_of(const struct top *top, bool is_first)
{
    if (top->reads_now)
        return TOP_DELAY_MIN_MS;
    return is_first && top->delay_ms > FIRST_DELAY_MS ? FIRST_DELAY_MS : top->delay_ms;
}

/* Until it is time for the next screen; keys are answered meanwhile. */
static void await_on_terminal(struct top *top, bool is_first)
{
    uint64_t begun_ms = clock_now_ms();
    bool is_time = false;

    top->reads_now = false;
    while (!is_time && !top->quits) {
        char key = '\0';
        switch (terminal_wait(begun_ms + delay_of(top, is_first), &key)) {
        case TERMINAL_TIME: is_time = true; break;
        case TERMINAL_END: top->quits = true; break;
        case TERMINAL_REDRAW: show(top); break;
        case TERMINAL_KEY:
            on_key(top, key);
            show(top);
            break;
        }
    }
}

/* Nobody presses a key; but whoever reads what we print may go. */
static void await_in_batch(struct top *top, bool is_first)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    top->quits = poll(&output, 1, (int)delay_of(top, is_first)) > 0 || ferror(stdout);
}

static enum ctl_exit run(struct top *top, uint32_t screens, char error[ERROR_SIZE])
{
    enum ctl_exit result = take(top, error);

    for (uint32_t i = 0; result == CTL_DONE && (screens == 0 || i < screens); i++) {
        if (top->screen.is_terminal)
            await_on_terminal(top, i == 0);
        else
            await_in_batch(top, i == 0);
        if (top->quits)
            break;
        result = take(top, error);
        if (result != CTL_DONE)
            break;
        if (i > 0 && !top->screen.is_terminal)
            putchar('\n');
        show(top);
    }
    return result;
}

enum ctl_exit top_run(struct server *server, const struct top_options *options)
{
    struct top top = {.server = server,
                      .delay_ms = options->delay_ms,
                      .screen = {.out = stdout, .is_terminal = !options->is_batch, .columns = SCREEN_WIDTH}};
    char error[ERROR_SIZE] = "";

    if (!options->is_batch && !terminal_open()) {
        perror("ccserverctl: top");
        return CTL_REFUSED;
    }
    enum ctl_exit result = run(&top, options->screens, error);
    int signo = terminal_close();
    if (result != CTL_DONE)
        fprintf(stderr, "ccserverctl: %s\n", error);
    if (signo != 0)
        raise(signo); /* as if we had not caught it */
    return result;
}
