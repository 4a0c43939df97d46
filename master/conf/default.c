/*
 * The configuration when the command line names no file: the installed one, else the text that is part of the program.
 */
#include "build_info.h"
#include "master/conf/conf.h"
#include <errno.h>
#include <unistd.h>

const char conf_builtin_name[] = "built-in";

const char *conf_default_file(void)
{
    /* Only a file that is not there is replaced: one that cannot be read is an error to be seen. */
    return access(CCSERVER_CONF, F_OK) < 0 && errno == ENOENT ? conf_builtin_name : CCSERVER_CONF;
}

const char *conf_file(const struct conf_overrides *overrides)
{
    return overrides->file == conf_builtin_name ? conf_default_file() : overrides->file;
}
