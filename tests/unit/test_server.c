/*
 * The search for a server among processes that look like masters: two that say that they are in charge. Whose memory is
 * looked into is the test's, in the place of stats_view.c.
 */
#include "common/stats_view.h"
#include "master/ctl/server.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/string.h>

static char conf_path[64];
static pid_t masters[2];
static int memory[2]; /* of each; the same, when one takes over from the other */
static struct master_state state;
static struct server server;

/* A process by its title only. */
static pid_t start_master(void)
{
    char name[sizeof(conf_path) + 32];

    snprintf(name, sizeof(name), "ccserver: master %s", conf_path);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test crash */
        execl("/bin/sleep", name, "60", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static bool has_title(pid_t pid)
{
    char path[64], text[32] = "";

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    FILE *in = fopen(path, "re");
    if (!in)
        return false;
    bool has = fread(text, 1, sizeof(text) - 1, in) > 0 && strncmp(text, "ccserver: master ", 17) == 0;
    fclose(in);
    return has;
}

static int new_memory(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, sizeof(struct stats_area)) == 0);
    return fd;
}

static void begin(bool same_memory)
{
    server = (struct server){.conf_path = conf_path};
    snprintf(conf_path, sizeof(conf_path), "/nonexistent/%d.conf", (int)getpid());
    memory[0] = new_memory();
    memory[1] = same_memory ? memory[0] : new_memory();
    for (unsigned i = 0; i < 2; i++) {
        masters[i] = start_master();
        for (unsigned ms = 0; ms < 5000 && !has_title(masters[i]); ms++)
            poll(NULL, 0, 1);
    }
}

static void end(void)
{
    for (unsigned i = 0; i < 2; i++) {
        kill(masters[i], SIGKILL);
        waitpid(masters[i], NULL, 0);
    }
    if (memory[1] != memory[0])
        close(memory[1]);
    close(memory[0]);
}

/* Whoever is looked into is in charge at this moment. */
struct stats_area *stats_view_of(pid_t pid)
{
    unsigned i = pid == masters[1];

    if (pid != masters[i]) {
        errno = ENOENT;
        return NULL;
    }
    struct stats_area *area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED, memory[i], 0);
    CU_ASSERT_FATAL(area != MAP_FAILED);
    state.pid = pid;
    strlcpy(state.conf_path, conf_path, sizeof(state.conf_path));
    state_write(&area->state, &state);
    return area;
}

static void test_one_takes_over(void)
{
    char error[256] = "";

    begin(true);
    CU_ASSERT_EQUAL(server_open(&server, error, sizeof(error)), CTL_DONE);
    CU_ASSERT_STRING_EQUAL(error, "");
    CU_ASSERT(server.area && server.pid == state.pid && server.state.pid == state.pid);
    if (server.area)
        stats_detach(server.area);
    end();
}

static void test_two_servers(void)
{
    char error[256] = "";

    begin(false);
    CU_ASSERT_EQUAL(server_open(&server, error, sizeof(error)), CTL_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "several servers run"));
    CU_ASSERT_EQUAL(server.pid + state.pid, masters[0] + masters[1]);
    if (server.area)
        stats_detach(server.area);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"one takes over from the other", test_one_takes_over},
        {"two servers", test_two_servers},
        {NULL, NULL},
    };
    return unit_main("server", tests);
}
