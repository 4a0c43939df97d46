/*
 * What a process that is aborted writes: the headline, and frames that lead to the places in the program.
 */
#include "common/backtrace.h"
#include "common/log.h"
#include "tests/unit/unit.h"
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { TEXT_SIZE = 1 << 16 };

static char path[] = "/tmp/ccs-backtrace-XXXXXX"; /* of the log */
static char text[TEXT_SIZE];                      /* that a child has logged */

/* The log of a child which dies of SIGABRT in `run`. */
static void log_of(void (*run)(void))
{
    int status;

    CU_ASSERT_EQUAL(truncate(path, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        log_set_role("a role");
        backtrace_on_crash();
        run();
        _exit(1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
}

/* ---- signals ---- */

/* Those of a crash, but for those that the sanitizer reports itself; no others. */
static void test_signals(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        unsigned changed = 0;
        struct sigaction before[NSIG], after;
        for (int i = 1; i < NSIG; i++)
            sigaction(i, NULL, &before[i]);
        backtrace_on_crash();
        for (int i = 1; i < NSIG; i++)
            changed += sigaction(i, NULL, &after) == 0 && after.sa_sigaction != before[i].sa_sigaction;
        for (unsigned i = 0; i < (SANITIZED ? 1 : 5); i++)
            if (sigaction(signals[i], NULL, &after) < 0 || after.sa_sigaction == before[signals[i]].sa_sigaction)
                _exit(2);
        _exit(changed == (SANITIZED ? 1 : 5) ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

/* ---- the headline ---- */

static void abort_myself(void)
{
    kill(getpid(), SIGABRT);
}

static void test_sender(void)
{
    char wanted[64];

    log_of(abort_myself);
    const char *pid = strstr(text, " a role[");
    CU_ASSERT_PTR_NOT_NULL_FATAL(pid);
    snprintf(wanted, sizeof(wanted), ": aborted by SIGABRT from pid %d, build id ", atoi(pid + strlen(" a role[")));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, wanted));
    CU_ASSERT_PTR_NULL(strstr(text, "at address"));
}

/* The kernel sends no SIGABRT, so one is made up. */
static void fault(void)
{
    siginfo_t info = {.si_signo = SIGABRT, .si_code = 1};

    info.si_addr = (void *)0x123abc;
    syscall(SYS_rt_sigqueueinfo, getpid(), SIGABRT, &info);
}

static void test_address(void)
{
    log_of(fault);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, ": aborted by SIGABRT at address 0x123abc, build id "));
    CU_ASSERT_PTR_NULL(strstr(text, "from pid"));
}

/* As the section of the file tells it: in the handler it is that of the notes in memory. */
static void read_build_id(char *id, size_t id_size)
{
    static char file[1 << 25];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, file, sizeof(file));

    close(fd);
    CU_ASSERT_FATAL(size > (ssize_t)sizeof(ElfW(Ehdr)) && size < (ssize_t)sizeof(file));
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)file;
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(file + head->e_shoff);
    const char *names = file + sections[head->e_shstrndx].sh_offset;
    id[0] = '\0';
    for (unsigned i = 0; i < head->e_shnum; i++)
        if (strcmp(names + sections[i].sh_name, ".note.gnu.build-id") == 0)
            for (size_t at = 16; at < sections[i].sh_size; at++) /* behind the head and "GNU" */
                snprintf(id + 2 * (at - 16), id_size - 2 * (at - 16), "%02x",
                         (unsigned char)file[sections[i].sh_offset + at]);
}

static void test_build_id(void)
{
    char id[128], wanted[256];

    read_build_id(id, sizeof(id));
    CU_ASSERT(strlen(id) >= 16);
    log_of(abort_myself);
    snprintf(wanted, sizeof(wanted), ", build id %s; the last calls, the latest first ", id);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, wanted));
}

/* ---- other programs ---- */

typedef int see_module(struct dl_phdr_info *info, size_t size, void *data);

static int (*real_iterate)(see_module *see, void *data); /* NULL before main(): a sanitizer looks then already */
static struct dl_phdr_info *made_up;                     /* a program that takes the place of the real one, once */
static unsigned made_up_libraries;                       /* that it has */

__attribute__((no_sanitize("address", "undefined"))) int dl_iterate_phdr(see_module *see, void *data)
{
    struct dl_phdr_info *program = made_up;

    if (!program)
        return real_iterate ? real_iterate(see, data) : 0;
    made_up = NULL;
    int result = see(program, sizeof(*program), data);
    for (unsigned i = 0; result == 0 && i < made_up_libraries; i++) {
        struct dl_phdr_info library = *program;
        library.dlpi_name = "library";
        result = see(&library, sizeof(library), data);
    }
    return result;
}

struct note {
    ElfW(Nhdr) head;
    char bytes[64]; /* the name, then what it is about */
};

/* Append one to the notes, cut to the size that it has there. */
static size_t add_note(char *notes, size_t used, unsigned type, const char *name, size_t id_size)
{
    struct note note = {
        .head = {.n_namesz = (ElfW(Word))strlen(name) + 1, .n_descsz = (ElfW(Word))id_size, .n_type = type}};
    size_t name_size = (strlen(name) + 4) / 4 * 4;

    strcpy(note.bytes, name);
    for (size_t i = 0; i < id_size; i++)
        note.bytes[name_size + i] = (char)(0xa0 + i);
    size_t size = sizeof(note.head) + name_size + (id_size + 3) / 4 * 4;
    memcpy(notes + used, &note, size);
    return used + size;
}

/* The build id of a program with these notes. */
static void check_build_id(const char *notes, size_t size, const char *id)
{
    char wanted[256], *copy = malloc(size); /* what stands behind it is not to be looked at */
    ElfW(Phdr) part = {.p_type = PT_NOTE, .p_memsz = size};
    struct dl_phdr_info program = {.dlpi_addr = (uintptr_t)copy, .dlpi_phdr = &part, .dlpi_phnum = 1, .dlpi_name = ""};

    memcpy(copy, notes, size);
    made_up = &program;
    log_of(abort_myself);
    made_up = NULL;
    snprintf(wanted, sizeof(wanted), ", build id %s; the last calls", id);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, wanted));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "]:   [0x")); /* frames of no module that is known */
    CU_ASSERT_PTR_NULL(strstr(text, "(+0x"));
    free(copy);
}

static void test_notes(void)
{
    char notes[256];
    size_t size = add_note(notes, 0, 1, "GNU", 16);

    check_build_id(notes, size, "none"); /* of another type */
    size = add_note(notes, size, NT_GNU_BUILD_ID, "Gnu", 8);
    size = add_note(notes, size, NT_GNU_BUILD_ID, "a name", 8);
    check_build_id(notes, size, "none"); /* somebody else's */
    size = add_note(notes, size, NT_GNU_BUILD_ID, "GNU", 8);
    check_build_id(notes, size, "a0a1a2a3a4a5a6a7");
    check_build_id(notes, size - 1, "none");
    check_build_id(notes, size - 8 - 4, "none");
    size = add_note(notes, size, 1, "", 0);
    check_build_id(notes, size, "a0a1a2a3a4a5a6a7");
    size = add_note(notes, 0, NT_GNU_BUILD_ID, "GNU", 32);
    check_build_id(notes, size, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf");
    size = add_note(notes, 0, NT_GNU_BUILD_ID, "GNU", 40); /* no more than there is room for */
    check_build_id(notes, size, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf");
}

/* More libraries than there is room for, each as large as all there is: the first one that fits has the frame. */
static void test_modules(void)
{
    static const unsigned counts[] = {1, 23, 24, 100};
    ElfW(Phdr) parts[] = {{.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_memsz = 0x1000},
                          {.p_type = PT_LOAD, .p_vaddr = 0x5000, .p_memsz = UINTPTR_MAX / 2},
                          {.p_type = PT_NULL, .p_vaddr = 0, .p_memsz = UINTPTR_MAX},
                          {.p_type = PT_LOAD, .p_vaddr = 0x3000, .p_memsz = 0x1000}};
    struct dl_phdr_info program = {.dlpi_addr = 0x10, .dlpi_phdr = parts, .dlpi_phnum = 4, .dlpi_name = "a name"};

    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        unsigned long offset, address;
        made_up = &program;
        made_up_libraries = counts[i];
        log_of(abort_myself);
        made_up = NULL;
        const char *frame = strstr(text, "]:   a role(+0x"); /* which is the name of the program */
        CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
        CU_ASSERT_EQUAL(sscanf(frame, "]:   a role(+0x%lx) [0x%lx]\n", &offset, &address), 2);
        CU_ASSERT_EQUAL(address - offset, 0x10);
        CU_ASSERT_PTR_NULL(strstr(text, "library("));
    }
}

/* Programs that no address of this one is in: they end before, or begin behind; what is not loaded does not count. */
static void test_modules_elsewhere(void)
{
    ElfW(Phdr) before[] = {{.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_memsz = 0x2000}};
    ElfW(Phdr) behind[] = {{.p_type = PT_LOAD, .p_vaddr = UINTPTR_MAX - 0x2000, .p_memsz = 0x1000},
                           {.p_type = PT_NULL, .p_vaddr = 0, .p_memsz = UINTPTR_MAX}};
    struct dl_phdr_info programs[] = {{.dlpi_phdr = before, .dlpi_phnum = 1, .dlpi_name = ""},
                                      {.dlpi_phdr = behind, .dlpi_phnum = 2, .dlpi_name = ""}};

    for (unsigned i = 0; i < 2; i++) {
        made_up = &programs[i];
        made_up_libraries = 100;
        log_of(abort_myself);
        made_up = NULL;
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "]:   [0x"));
        CU_ASSERT_PTR_NULL(strstr(text, "(+0x"));
    }
}

/* ---- frames ---- */

struct module {
    uintptr_t base, start, end;
    const char *name;
    unsigned number, frames;
};

/* Find the module that `base` of the wanted one belongs to. */
static int find_module(struct dl_phdr_info *info, size_t size, void *data)
{
    struct module *wanted = data;
    bool found = false;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && wanted->start >= start && wanted->start < start + part->p_memsz)
            found = true;
    }
    wanted->number++;
    if (!found)
        return 0;
    wanted->base = info->dlpi_addr;
    wanted->name = info->dlpi_name;
    return 1;
}

/* Each frame lies where its line says: in the program, which has the name of the role, or in a library. */
static void check_frames(unsigned *of_program, unsigned *of_libraries)
{
    *of_program = *of_libraries = 0;
    for (const char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        const char *frame = strstr(line, "]: ");
        char name[128];
        unsigned long offset, address;
        CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
        CU_ASSERT_EQUAL_FATAL(sscanf(frame, "]:   %127[^(](+0x%lx) [0x%lx]\n", name, &offset, &address), 3);
        struct module module = {.start = address};
        CU_ASSERT_EQUAL_FATAL(dl_iterate_phdr(find_module, &module), 1);
        CU_ASSERT_EQUAL(address - offset, module.base);
        if (module.number == 1)
            CU_ASSERT_STRING_EQUAL(name, "a role");
        if (module.number > 1)
            CU_ASSERT_EQUAL(strncmp(name, module.name, 79), 0);
        *(module.number == 1 ? of_program : of_libraries) += 1;
    }
}

static void test_frames(void)
{
    unsigned of_program, of_libraries;

    log_of(abort_myself);
    check_frames(&of_program, &of_libraries);
    CU_ASSERT(of_program >= 3); /* the handler, abort_myself(), log_of() ... */
    CU_ASSERT(of_libraries >= 1);
    log_of(abort);
    check_frames(&of_program, &of_libraries);
    CU_ASSERT(of_program >= 3);
    CU_ASSERT(of_libraries >= 2);
}

/* A function at an address that is known: the frame of who has called kill() is in it. */
static uintptr_t here;

static __attribute__((noinline)) void abort_here(void)
{
    here = (uintptr_t)__builtin_return_address(0);
    char wanted[32];
    snprintf(wanted, sizeof(wanted), "called from %#lx", (unsigned long)here);
    log_write_in_handler(wanted);
    kill(getpid(), SIGABRT);
}

static void test_caller(void)
{
    unsigned long address;
    char wanted[64];

    log_of(abort_here);
    const char *said = strstr(text, "called from ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(said);
    CU_ASSERT_EQUAL(sscanf(said, "called from %lx", &address), 1);
    snprintf(wanted, sizeof(wanted), " [%#lx]\n", address);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, wanted));
}

/* Deeper than there is room for. */
static __attribute__((noinline)) unsigned deep(unsigned depth)
{
    volatile unsigned below = depth ? deep(depth - 1) : (unsigned)kill(getpid(), SIGABRT);

    return below + 1;
}

static void abort_deep(void)
{
    deep(200);
}

static void test_deep(void)
{
    unsigned lines = 0;

    log_of(abort_deep);
    for (const char *line = text; (line = strchr(line, '\n')); line++)
        lines++;
    CU_ASSERT_EQUAL(lines, 1 + 48);
}

/* Asked for twice it is the same, and so it is in a child. */
static void again_in_a_child(void)
{
    int status;

    backtrace_on_crash();
    pid_t pid = fork();
    if (pid == 0)
        kill(getpid(), SIGABRT);
    if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        raise(SIGABRT);
}

static void test_child(void)
{
    unsigned headlines = 0, programs = 0;

    log_of(again_in_a_child);
    for (const char *line = text; (line = strstr(line, ": aborted by SIGABRT")); line++)
        headlines++;
    for (const char *line = text; (line = strstr(line, ":   a role(+0x")); line++)
        programs++;
    CU_ASSERT_EQUAL(headlines, 2);
    CU_ASSERT(programs >= 6);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"signals", test_signals},
        {"sender", test_sender},
        {"address", test_address},
        {"build id", test_build_id},
        {"notes", test_notes},
        {"modules", test_modules},
        {"modules elsewhere", test_modules_elsewhere},
        {"frames", test_frames},
        {"caller", test_caller},
        {"deep", test_deep},
        {"child", test_child},
        {0},
    };
    *(void **)&real_iterate = dlsym(RTLD_NEXT, "dl_iterate_phdr");
    int fd = mkstemp(path);
    if (fd < 0 || log_open(path) < 0)
        return EXIT_FAILURE;
    close(fd);
    int result = unit_main("backtrace", tests);
    unlink(path);
    return result;
}
