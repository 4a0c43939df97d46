/*
 * Whether this is built with AddressSanitizer, which has memory, a stack and handlers of signals of its own.
 */
#ifndef COMMON_SANITIZED_H
#define COMMON_SANITIZED_H

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#endif
