/*
 * Which logins of Redis clients are kept: those that somebody has, and the others for a minute or until there is no room.
 */
#include "tests/unit/unit.h"
#include "worker/services/redis/variant.h"

enum { MINUTE_MS = 60 * 1000, NOW_MS = 1000000 };

static struct variants variants;

static struct login login_to(uint32_t database)
{
    return (struct login){.database = database};
}

static struct variant *get(uint32_t database)
{
    const struct login login = login_to(database);

    return variants_get(&variants, &login);
}

static struct variant *find(uint32_t database)
{
    const struct login login = login_to(database);

    return variants_find(&variants, &login);
}

static void begin(void)
{
    variants = (struct variants){.connections = 2};
    CU_ASSERT_EQUAL(variants_start(&variants), 0);
}

static void test_one_for_each_login(void)
{
    begin();
    CU_ASSERT_PTR_EQUAL(get(0), variants.all[0]);
    CU_ASSERT_PTR_NULL(find(1));
    struct variant *one = get(1);
    CU_ASSERT(one && one != variants.all[0]);
    CU_ASSERT(get(1) == one && find(1) == one && get(2) != one);
    variants_stop(&variants);
}

static void test_a_minute(void)
{
    begin();
    struct variant *one = get(1);
    variant_enter(one);
    variant_enter(one);
    variant_leave(one, NOW_MS);
    variants_tick(&variants, NOW_MS + 10 * MINUTE_MS);
    CU_ASSERT_PTR_EQUAL(find(1), one); /* somebody has it */
    variant_leave(one, NOW_MS);
    variants_tick(&variants, NOW_MS + MINUTE_MS - 1);
    CU_ASSERT_PTR_EQUAL(find(1), one);
    variants_tick(&variants, NOW_MS + MINUTE_MS);
    CU_ASSERT_PTR_NULL(find(1));
    CU_ASSERT_PTR_EQUAL(find(0), variants.all[0]); /* that one stays */
    variants_stop(&variants);
}

static void test_no_room(void)
{
    begin();
    for (uint32_t i = 1; i < VARIANTS_MAX; i++)
        variant_enter(get(i));
    CU_ASSERT_PTR_NULL(get(VARIANTS_MAX));
    variant_leave(find(7), NOW_MS + 1);
    variant_leave(find(5), NOW_MS);
    CU_ASSERT_PTR_NOT_NULL(get(VARIANTS_MAX));
    CU_ASSERT_PTR_NULL(find(5)); /* nobody had it for longest */
    CU_ASSERT_PTR_NOT_NULL(find(7));
    variants_stop(&variants);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"one for each login", test_one_for_each_login},
        {"a minute", test_a_minute},
        {"no room", test_no_room},
        {NULL, NULL},
    };
    return unit_main("redis variant", tests);
}
