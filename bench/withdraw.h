/*
 * The withdraw message of the original's client in its frame, written down and not computed: a mistake in the server's
 * encoder or checksum cannot hide by being made twice. The line `withdraw` of tests/vectors/frames.tsv.
 */
#ifndef BENCH_WITHDRAW_H
#define BENCH_WITHDRAW_H

static const char withdraw[] = "\x00\x00\x00\x69\x00\x00\x00\x12"
                               "ccserver.withdraw\0"
                               "\x0a\x0dWITHDRAW01001"
                               "\x12\x0fSERIALNO1201001"
                               "\x1a\x11PP_CLIENT_8888888"
                               "\x20\xd4\xfc\x0a"
                               "\x2a\x06mymind"
                               "\x32\x0esdfsdfdsfdfsdf"
                               "\xd4\x1d\x94\x91";

enum { WITHDRAW_SIZE = sizeof(withdraw) - 1 };
_Static_assert(WITHDRAW_SIZE == 109, "the frame of the benchmarks");

#endif
