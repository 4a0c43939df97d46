#include "common/backtrace.h"
#include "common/log.h"
#include "common/log_line.h"
#include "common/sanitized.h"
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#else
static int backtrace(void **frames, int count)
{
    (void)frames, (void)count;
    return 0;
}
#endif

enum {
    FRAMES_MAX = 48,
    MODULES_MAX = 24,
    NAME_SIZE = 80,
    BUILD_ID_MAX = 32,    /* bytes; a SHA-1 has 20 */
    STACK_SIZE = 1 << 16, /* the unwinder needs some ten kilobytes, the kernel's frame three */
};

/* The program and its libraries: looked up beforehand, since the loader's functions may not be called in a handler. */
struct module {
    uintptr_t base, start, end;
    char name[NAME_SIZE]; /* "" for the program */
};

static struct {
    struct module modules[MODULES_MAX];
    unsigned count;
    char build_id[2 * BUILD_ID_MAX + 1];
} image = {.build_id = "none"};

/* ---- beforehand ---- */

static size_t round_up(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

static void read_build_id(const char *notes, size_t size)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof(note));
        const char *name = notes + sizeof(note);
        const unsigned char *id = (const unsigned char *)name + round_up(note.n_namesz);
        size_t whole = sizeof(note) + round_up(note.n_namesz) + round_up(note.n_descsz);
        if (whole > size)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0)
            for (size_t i = 0; i < note.n_descsz && i < BUILD_ID_MAX; i++)
                snprintf(image.build_id + 2 * i, 3, "%02x", id[i]);
        notes += whole;
        size -= whole;
    }
}

static int remember_module(struct dl_phdr_info *info, size_t size, void *unused)
{
    struct module *module = &image.modules[image.count];
    bool program = image.count == 0;

    (void)size, (void)unused;
    if (image.count == MODULES_MAX)
        return 1;
    *module = (struct module){.base = info->dlpi_addr, .start = UINTPTR_MAX};
    strlcpy(module->name, program ? "" : info->dlpi_name, sizeof(module->name));
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
        if (part->p_type == PT_LOAD && start < module->start)
            module->start = start;
        if (part->p_type == PT_LOAD && end > module->end)
            module->end = end;
        if (part->p_type == PT_NOTE && program)
            read_build_id((const char *)start, part->p_memsz);
    }
    image.count++;
    return 0;
}

/* ---- in the handler ---- */

static const char *name_of(int signo)
{
    switch (signo) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGILL: return "SIGILL";
    default: return "SIGABRT";
    }
}

static void write_headline(int signo, const siginfo_t *info)
{
    struct log_line line = {.size = 0}; /* all zeros: the text has an end, in place of a newline */

    log_line_text(&line, signo == SIGABRT ? "aborted by " : "crashed by ");
    log_line_text(&line, name_of(signo));
    if (info->si_code > 0) { /* from the kernel, which knows the address; a kill() has a sender instead */
        log_line_text(&line, " at address ");
        log_line_hex(&line, (uintptr_t)info->si_addr);
    } else {
        log_line_text(&line, " from pid ");
        log_line_number(&line, (uint64_t)info->si_pid);
    }
    log_line_text(&line, ", build id ");
    log_line_text(&line, image.build_id);
    log_line_text(&line, "; the last calls, the latest first (addr2line -f -e BINARY OFFSET tells the lines):");
    log_write_in_handler(line.text);
}

/* As backtrace_symbols() prints it: FILE(+OFFSET) [ADDRESS]; the role stands for the program. */
static void write_frame(uintptr_t address)
{
    struct log_line line = {.size = 0}; /* the same */

    log_line_text(&line, "  ");
    for (unsigned i = 0; i < image.count; i++) {
        const struct module *module = &image.modules[i];
        if (address < module->start || address >= module->end)
            continue;
        log_line_text(&line, module->name[0] ? module->name : log_role());
        log_line_text(&line, "(+");
        log_line_hex(&line, address - module->base);
        log_line_text(&line, ") ");
        break;
    }
    log_line_text(&line, "[");
    log_line_hex(&line, address);
    log_line_text(&line, "]");
    log_write_in_handler(line.text);
}

/*
 * The headline comes first, since looking at a broken stack may crash once more: that ends the process at once. The
 * signal is raised here, with its default action in force again, because one that was sent from outside would not come
 * back.
 */
static void report(int signo, siginfo_t *info, void *context)
{
    void *frames[FRAMES_MAX];

    (void)context;
    write_headline(signo, info);
    int count = backtrace(frames, FRAMES_MAX);
    for (int i = 0; i < count; i++)
        write_frame((uintptr_t)frames[i]);
    raise(signo);
}

void backtrace_on_crash(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static char stack[STACK_SIZE];
    const struct sigaction action = {.sa_sigaction = report,
                                     .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
    void *frame;

    image.count = 0;
    dl_iterate_phdr(remember_module, NULL);
    backtrace(&frame, 1); /* loads what it needs now: in the handler it must not allocate */
    if (!SANITIZED)
        sigaltstack(&alternative, NULL); /* the sanitizer frees the one that it finds at its end */
    for (unsigned i = 0; i < (SANITIZED ? 1 : sizeof(signals) / sizeof(signals[0])); i++)
        sigaction(signals[i], &action, NULL);
}
