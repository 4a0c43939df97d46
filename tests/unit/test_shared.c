/*
 * Memory that workers share: whose it is, how long it lasts, and what a child has of it.
 */
#include "master/shared.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/string.h>

enum { SIZE = 100000 };

static const struct service one = {.name = "one", .shared_size = SIZE}, two = {.name = "two", .shared_size = SIZE},
                            none = {.name = "none"}, huge = {.name = "huge", .shared_size = SIZE_MAX / 2};
static struct listener_config sections[3];
static struct conf conf = {.listeners = sections};
static char error[256];

static void section(unsigned i, const char *name, const char *pool, const struct service *service)
{
    sections[i] = (struct listener_config){.service = service};
    strlcpy(sections[i].name, name, sizeof(sections[i].name));
    strlcpy(sections[i].pool_name, pool, sizeof(sections[i].pool_name));
    conf.listener_count = i + 1;
}

static void claim(void)
{
    CU_ASSERT_EQUAL_FATAL(shared_claim(&conf, error, sizeof(error)), 0);
}

static void forget(void)
{
    conf.listener_count = 0;
    shared_keep(&conf);
}

static void test_each_section_has_its_own(void)
{
    section(0, "a", "main", &one);
    section(1, "b", "main", &one);
    section(2, "c", "main", &none);
    claim();
    CU_ASSERT_PTR_NOT_EQUAL(sections[0].shared, sections[1].shared);
    CU_ASSERT_PTR_NULL(sections[2].shared);
    for (unsigned i = 0; i < SIZE; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)sections[0].shared)[i], 0);
    forget();
}

/* The same section keeps it over a reload; in another pool, or with another service, it is another one. */
static void test_reload(void)
{
    char *memory;

    section(0, "a", "main", &one);
    claim();
    memory = sections[0].shared;
    memcpy(memory, "kept", 5);
    section(0, "a", "main", &one);
    section(1, "a", "other", &one);
    section(2, "a", "main", &two);
    claim();
    shared_keep(&conf);
    CU_ASSERT_PTR_EQUAL(sections[0].shared, memory);
    CU_ASSERT_STRING_EQUAL(memory, "kept");
    CU_ASSERT_EQUAL(*(char *)sections[1].shared, 0);
    CU_ASSERT_EQUAL(*(char *)sections[2].shared, 0);
    forget();
    section(0, "a", "main", &one);
    claim();
    CU_ASSERT_EQUAL(*(char *)sections[0].shared, 0);
    forget();
}

static void test_no_memory(void)
{
    section(0, "a", "main", &huge);
    CU_ASSERT_EQUAL(shared_claim(&conf, error, sizeof(error)), -1);
    CU_ASSERT_STRING_EQUAL(error, "no shared memory for [listen a]: Cannot allocate memory");
    forget();
}

/* True when there is something at this address. */
static int is_mapped(void *memory)
{
    unsigned char resident;

    return mincore(memory, 1, &resident) == 0;
}

static void test_child(void)
{
    int status = 0;

    section(0, "a", "main", &one);
    section(1, "b", "other", &one);
    claim();
    pid_t pid = fork();
    if (pid == 0) {
        shared_leave("main");
        memcpy(sections[0].shared, "child", 6);
        _exit(is_mapped(sections[0].shared) && !is_mapped(sections[1].shared) ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_STRING_EQUAL(sections[0].shared, "child");
    CU_ASSERT_TRUE(is_mapped(sections[1].shared));
    forget();
    CU_ASSERT_FALSE(is_mapped(sections[1].shared));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"each section has its own", test_each_section_has_its_own},
        {"reload", test_reload},
        {"no memory", test_no_memory},
        {"child", test_child},
        {0},
    };
    return unit_main("shared", tests);
}
