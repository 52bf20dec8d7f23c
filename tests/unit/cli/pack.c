/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a template that lacks what its root had. A small root with every kind of file is packed
 * and listed again; tars, plain and compressed, must come through octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec.h"
#include "pack.h"

static char home[] = "/tmp/drover-pack-XXXXXX";
static int start; /* the directory we began in */

static int append(void *context, const uint8_t *data, size_t size_bytes)
{
    return buffer_append(context, data, size_bytes);
}

static int refuse(void *context, const uint8_t *data, size_t size_bytes)
{
    (void)context;
    (void)data;
    (void)size_bytes;
    return -ECANCELED;
}

static void run(const char *command)
{
    assert_int_equal(system(command), 0);
}

static void make_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "root/sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
}

static int open_home(void **state)
{
    (void)state;
    start = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(start >= 0);
    assert_non_null(mkdtemp(home));
    assert_int_equal(chdir(home), 0);
    run("mkdir -p root/etc root/empty && echo web >root/etc/hostname && chmod 751 root/etc &&"
        "ln root/etc/hostname root/link && ln -s ../link root/etc/soft && mkfifo root/pipe &&"
        "chmod 4755 root/etc/hostname && truncate -s 1M root/hole && printf end >>root/hole &&"
        "head -c 300000 /dev/urandom >root/big");
    make_socket();
    return 0;
}

static int close_home(void **state)
{
    char command[64];

    (void)state;
    assert_int_equal(fchdir(start), 0);
    (void)snprintf(command, sizeof(command), "rm -r %s", home);
    return system(command);
}

static int back_home(void **state)
{
    (void)state;
    return chdir(home);
}

static void keep(const struct buffer *buffer, const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(buffer->data, 1, buffer->size_bytes, file), buffer->size_bytes);
    assert_int_equal(fclose(file), 0);
}

static void test_pack__a_directory__comes_out_as_it_was(void **state)
{
    struct buffer tar = {0};
    struct fault fault = {0};
    struct pack pack = {.sink = append, .context = &tar, .fault = &fault};

    (void)state;
    assert_int_equal(pack_directory(&pack, "root"), 0);
    assert_int_equal(chdir(home), 0);
    keep(&tar, "out.tar");
    buffer_close(&tar);
    run("rm -rf copy && mkdir copy && tar -C copy -xpf out.tar && rm root/sock &&"
        "diff -r --no-dereference root copy 2>&1 | grep -v 'is a fifo' | (! grep .)");
    run("[ copy/link -ef copy/etc/hostname ] && [ -p copy/pipe ] &&"
        "[ \"$(stat -c %a copy/etc/hostname)\" = 4755 ] && [ \"$(stat -c %a copy/etc)\" = 751 ] &&"
        "[ \"$(readlink copy/etc/soft)\" = ../link ] && [ -d copy/empty ]");
    run("! tar -tf out.tar | grep -q sock");
    make_socket();
}

static void test_pack__tars_however_compressed__pass_unchanged(void **state)
{
    static const char *const commands[] = {"cat", "gzip", "xz", "zstd -q", "bzip2"};

    (void)state;
    run("tar -C root -cf plain.tar .");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct buffer tar = {0};
        struct fault fault = {0};
        struct pack pack = {.sink = append, .context = &tar, .fault = &fault};
        char command[128];

        (void)snprintf(command, sizeof(command), "command -v %s >/dev/null", commands[i]);
        if (system(command) != 0)
            continue; /* the library knows it, but nothing here makes one to try */
        (void)snprintf(command, sizeof(command), "%s <plain.tar >some.tar", commands[i]);
        run(command);
        assert_int_equal(pack_tar(&pack, "some.tar"), 0);
        keep(&tar, "passed.tar");
        buffer_close(&tar);
        run("cmp plain.tar passed.tar");
    }
}

static void assert_refused(const char *path, enum status status, const char *words)
{
    struct buffer tar = {0};
    struct fault fault = {0};
    struct pack pack = {.sink = append, .context = &tar, .fault = &fault};

    assert_true(pack_tar(&pack, path) < 0);
    if (fault.status != status || strstr(fault.text, words) == NULL)
        fail_msg("%s: %s: %s", path, status_name(fault.status), fault.text);
    buffer_close(&tar);
}

static void test_pack__what_is_no_tar__is_refused_in_words(void **state)
{
    (void)state;
    run("head -c 5000 /dev/zero | tr '\\0' x >text && : >none && printf short >short &&"
        "gzip <text >text.gz && tar -C root -czf cut.tar.gz . && truncate -s 100000 cut.tar.gz");
    assert_refused("text", STATUS_INVALID, "nor a tar");
    assert_refused("text.gz", STATUS_INVALID, "nor a tar");
    assert_refused("short", STATUS_INVALID, "nor a tar");
    assert_refused("none", STATUS_INVALID, "nor a tar");
    assert_refused("absent", STATUS_FAILED, "absent");
    assert_refused("cut.tar.gz", STATUS_FAILED, "cut.tar.gz");
}

static void test_pack__a_sink_that_has_enough__ends_it_with_its_own_answer(void **state)
{
    struct fault fault = {0};
    struct pack tar = {.sink = refuse, .fault = &fault};
    struct pack directory = {.sink = refuse, .fault = &fault};

    (void)state;
    run("tar -C root -cf plain.tar .");
    assert_int_equal(pack_tar(&tar, "plain.tar"), -ECANCELED);
    assert_int_equal(pack_directory(&directory, "root"), -ECANCELED);
    assert_int_equal(fault.status, STATUS_UNSET); /* the sink had its own words */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pack__a_directory__comes_out_as_it_was, back_home),
        cmocka_unit_test_teardown(test_pack__tars_however_compressed__pass_unchanged, back_home),
        cmocka_unit_test_teardown(test_pack__what_is_no_tar__is_refused_in_words, back_home),
        cmocka_unit_test_teardown(test_pack__a_sink_that_has_enough__ends_it_with_its_own_answer,
                                  back_home),
    };
    return cmocka_run_group_tests(tests, open_home, close_home);
}
