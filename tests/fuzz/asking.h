/*
 * A service of fuzz_core that asks over a shared link, and over one that it has taken. Questions must be written in
 * their order, answered or lost in their order and exactly once, and be lost as sent if a byte of them was.
 */
#ifndef TESTS_FUZZ_ASKING_H
#define TESTS_FUZZ_ASKING_H

#include "tests/fuzz/scripted.h"

extern const struct service asking_service;

/* Address and limits; `pushes`: what was not asked for is taken. */
void asking_begin(const struct link_target *target, bool pushes);

/* A link is connected to: who expects what is written, and what its server types. */
void *asking_connects(uint32_t *seed);

/* False when the descriptor is none of a link. */
bool asking_wrote(struct kernel_socket *socket, const uint8_t *bytes, size_t size);

#endif
