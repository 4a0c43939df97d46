#include "worker/services/control/answer.h"
#include <stdio.h>
#include <string.h>

void answer_lines(struct reply *reply, const char *text, size_t size)
{
    for (const char *end; size > 0 && (end = memchr(text, '\n', size)); text = end + 1) {
        size_t length = (size_t)(end + 1 - text);
        reply_send(reply, " ", 1);
        reply_send(reply, text, length);
        size -= length;
    }
}

void answer_end(struct reply *reply, enum answer_end end, const char *sentence)
{
    static const char *const words[] = {
        [ANSWER_DONE] = "done", [ANSWER_REFUSED] = "refused", [ANSWER_DENIED] = "denied", [ANSWER_MISUSED] = "misused"};
    char line[512];
    int size = snprintf(line, sizeof(line) - 1, "%s%s%s", words[end], sentence[0] ? " " : "", sentence);

    size = size < (int)sizeof(line) - 2 ? size : (int)sizeof(line) - 2;
    line[size] = '\n';
    reply_send(reply, line, (size_t)size + 1);
    reply_end(reply);
}
