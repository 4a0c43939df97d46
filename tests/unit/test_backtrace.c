/*
 * What a process that is aborted writes: the headline, and frames that lead to the places in the program.
 */
#include "common/backtrace.h"
#include "common/log.h"
#include "tests/unit/unit.h"
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
        {"sender", test_sender}, {"address", test_address}, {"build id", test_build_id}, {"frames", test_frames},
        {"caller", test_caller}, {"deep", test_deep},       {"child", test_child},       {0},
    };
    int fd = mkstemp(path);
    if (fd < 0 || log_open(path) < 0)
        return EXIT_FAILURE;
    close(fd);
    int result = unit_main("backtrace", tests);
    unlink(path);
    return result;
}
