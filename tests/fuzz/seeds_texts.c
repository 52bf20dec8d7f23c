/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake and how: see seeds.c. Texts as people and guests write them; for the model, walks.
 */
#include "prng.h"
#include "seeds.h"

static void write_text(const char *text)
{
    seed_write(text, strlen(text));
}

void seeds_options_agent(void)
{
    write_text("# comment\n[agent]\nstate-dir = /tmp/a\nrun-dir = /tmp/r\nnode = n1\n"
               "cgroup = /drover.n1\nuid-base = 0x70000000\nuid-count = 65536\n"
               "controller = tcp://127.0.0.1:7700\n");
    write_text("uid-base=2000000\nuid-count=131072\nnode=n\ncontroller=tcp://[::1]:1\n");
    write_text("uid-count=65538\n");
    write_text("uid-count=131072\nuid-base=200000\n");
    write_text("[agent]\nuid-count = 98304\n");
    write_text("--uid-count\n65540");
    write_text("node = Not A Name\n");
    write_text("nonsense = 1\n");
    write_text("[agent\nnode\n");
    write_text("uid-base = -1\n");
    write_text("--node\nn1\n--cgroup\n/c\n--uid-base\n100000\n--uid-count\n65536\n"
               "--controller\ntcp://a:1\n--state-dir\n/s\n--run-dir\n/r");
    write_text("--help");
    write_text("--version");
    write_text("-x");
    write_text("--\nword");
}

void seeds_options_controller(void)
{
    write_text("; comment\n[controller]\nstate-dir = /tmp/a\nrun-dir = /tmp/r\n"
               "listen = tcp://127.0.0.1:7700\nevents-max = 1000\n");
    write_text("listen=tcp://[::1]:7700\nevents-max=9\n");
    write_text("events-max = 0\n");
    write_text("http = 127.0.0.1:80\n");
    write_text("store = sqlite:/tmp/x\n");
    write_text("--listen\ntcp://[::1]:1\n--events-max\n9\n--state-dir\n/s\n--run-dir\n/r");
    write_text("--help");
    write_text("--version");
    write_text("--\nword");
}

static void write_words(const char *first, const char *second, const char *third)
{
    static struct seed seed;

    seed.size_bytes = 0;
    seed_part(&seed, UINT8_MAX, first, strlen(first));
    seed_part(&seed, UINT8_MAX, second, strlen(second));
    seed_part(&seed, UINT8_MAX, third, strlen(third));
    seed_write(seed.data, seed.size_bytes);
}

void seeds_words(void)
{
    static const char *const firsts[] = {"64M",
                                         "max",
                                         "0",
                                         "12T",
                                         "3999M",
                                         "1023M",
                                         "2000000K",
                                         "250ms",
                                         "120s",
                                         "2h",
                                         "1m",
                                         "18446744073709551615",
                                         "web-17",
                                         "tcp://[::1]:7700",
                                         "00010203-0405-0607-0809-0a0b0c0d0e0f",
                                         "tcp://127.0.0.1:7700"};

    for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++)
        write_words(firsts[i], "web", "n1");
    write_words("w*b-?", "web-1", "n1");
    write_words("web@n*", "web", "n1");
    write_words("tier=w*", "web", "n1");
    write_words("a*b*c*", "aXbXc", "");
}

void seeds_notify(void)
{
    static const char *const said[] = {"READY=1\nSTATUS=up\n", "STOPPING=1", "STATUS=\x1b[2J\x7f",
                                       "MAINPID=4\nREADY=1"};
    static struct seed seed;

    seed.size_bytes = 0;
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
        seed_part(&seed, 1024, said[i], strlen(said[i]));
    seed_write(seed.data, seed.size_bytes);
}

void seeds_console(void)
{
    static struct seed seed;
    static const char line[] = "login: guest wrote a line\r\n";

    seed.size_bytes = 0;
    for (unsigned i = 0; i < 8; i++) {
        seed_octet(&seed, 0);
        seed_part(&seed, UINT8_MAX, line, sizeof(line) - 1);
        seed_octet(&seed, i * 8);
        seed_octet(&seed, i % 2 == 0 ? 1 : 5);
        seed_octet(&seed, 2 + i % 2);
        seed_octet(&seed, i);
    }
    seed_write(seed.data, seed.size_bytes);
}

/* Choices at random, as the unit test of the same walk makes them. */
void seeds_model(void)
{
    static struct seed seed;

    for (uint64_t i = 0; i < 24; i++) {
        struct prng prng = {.state = i};

        seed.size_bytes = 0;
        seed_octet(&seed, i % 4);
        for (unsigned n = 0; n < 300 + 100 * i; n++)
            seed_octet(&seed, (unsigned)prng_below(&prng, 256));
        seed_write(seed.data, seed.size_bytes);
    }
}

/* Trees as guest_files.c makes them, then passwd and subuid files. */
void seeds_guest_files(void)
{
    static struct seed seed;
    static const uint8_t trees[][10] = {
        {0, 22, 0, 22, 4},         /* sysvinit */
        {0, 22, 0, 22, 4, 22, 5},  /* … with OpenRC */
        {0, 3, 0, 2, 22, 6},       /* a link to systemd */
        {0, 3, 0, 1, 22, 3},       /* a link to busybox */
        {0, 3, 0, 0, 22, 1},       /* a link to itself */
        {0, 3, 0, 4, 11, 1, 5},    /* links that lead out */
        {0, 22, 0, 10, 0, 22, 2},  /* deleted in the upper */
        {0, 1, 0, 22, 7, 3, 1, 9}, /* a FIFO */
    };
    static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n#c\nweb:x:33:33:w:/var/www:\n";
    static const char group[] = "root:x:0:\nadm:x:4:web,root\n";

    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++)
        seed_write(trees[i], sizeof(trees[i]));
    static const char *const users[] = {"web", "", "33", "0:5", "nobody"};
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        seed.size_bytes = 0;
        seed_octet(&seed, 2);
        seed_part(&seed, UINT8_MAX, users[i], strlen(users[i]));
        seed_part(&seed, 2048, passwd, sizeof(passwd) - 1);
        seed_part(&seed, 2048, group, sizeof(group) - 1);
        seed_write(seed.data, seed.size_bytes);
    }
    seed.size_bytes = 0;
    seed_octet(&seed, 3);
    seed_part(&seed, 512, "root:100000:65536\nuser:262144:65536\n", 36);
    seed_octet(&seed, 4);
    seed_octet(&seed, 0);
    seed_write(seed.data, seed.size_bytes);
}

/* As import.c reads them: of whom, what the disk shows, the file's name, another file, the file. */
static void write_import(unsigned kind, const char *name, const char *other, const char *text)
{
    static struct seed seed;

    seed.size_bytes = 0;
    seed_octet(&seed, kind);
    seed_part(&seed, 64, name, strlen(name));
    seed_part(&seed, 4096, other, strlen(other));
    seed_add(&seed, text, strlen(text));
    seed_write(seed.data, seed.size_bytes);
}

void seeds_import(void)
{
    write_import(
        0, "/etc/vz/conf/101.conf",
        "VE_PRIVATE=\"/vz/private/$VEID\"\nVE_ROOT=/vz/root/${VEID}\nCPUUNITS=1000\n",
        "# RAM\nPHYSPAGES=\"0:256M\"\nSWAPPAGES=\"0:131072\"\nNUMPROC=\"240:unlimited\"\n"
        "CPULIMIT='50%' # half\nCPUS=2\nNAME=\"Web 1\"\nBINDMOUNT=\"/a:/b,rw /c:/d,nosuid\"\n"
        "VE_ENVIRONMENT=\"A=1 B=2\"\nDESCRIPTION=\"a \\\"b\\\"\"\nALLOWREBOOT=no\n");
    write_import(2, "ve.conf", "", "VEID=7\nVE_PRIVATE=/p/$VEID\nVE_LAYOUT=simfs\nUUID={AB-CD}\n");
    write_import(4, "1.conf", "VE_PRIVATE=/p\n", "VE_LAYOUT=ploop\nSLMMEMORYLIMIT=1024:4096\n");
    write_import(1, "/var/lib/lxc/web/config",
                 "/srv/a\\040b srv none bind 0 0\ntmpfs tmp tmpfs size=1m 0 0\n",
                 "lxc.rootfs = dir:/r\nlxc.utsname = web\nlxc.mount = /fstab\n"
                 "lxc.cgroup.memory.limit_in_bytes = 512M\n"
                 "lxc.cgroup.memory.memsw.limit_in_bytes = 1G\nlxc.cgroup.cpu.shares = 512\n"
                 "lxc.environment = A=\"1\"\nlxc.include = /i\n");
    write_import(
        3, "web.conf", "lxc.cgroup2.cpu.max = 100000 50000\nlxc.net =\n",
        "lxc.rootfs.path = /r\nlxc.include = /d\nlxc.cgroup2.memory.max = max\n"
        "lxc.mount.entry = /a b none bind,rw 0 0\nlxc.idmap = u 0 1 2\nlxc.net.0.type = veth\n"
        "lxc.init.cmd = /sbin/init x\nlxc.group = a\nlxc.group = b\n");
}

/* Members as template.c reads them: type, name, how; then a link's target or octets. */
void seeds_template(void)
{
    static const uint8_t scripts[][16] = {
        {0, 0, 0, 69, 2, 'h', 'i'},           /* a file */
        {0, 5, 1, 64, 0, 2, 66, 1, 'x'},      /* a directory, and a file in it */
        {0, 0, 0, 64, 2, 9, 64, 0, 1, 3, 64}, /* a symlink to it */
        {0, 2, 9, 64, 6, 0, 10, 64},          /* through one that leads out */
        {0, 0, 5, 64},                        /* out by its name */
        {0, 1, 0, 64, 6},                     /* a hard link out */
        {0, 3, 0, 64, 6, 1, 64},              /* a device, a FIFO */
        {7, 'n', 'o', 't', 'a', 'r'},
    };

    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        seed_write(scripts[i], sizeof(scripts[i]));
    for (uint8_t matter = 0; matter < 12;
         matter++) { /* a file and a link, and what else there is */
        const uint8_t both[] = {matter * 8, 0, 0, 69, 5, 'h', 'h', 'h', 'h', 'h', 2, 9, 64, 1};
        seed_write(both, sizeof(both));
    }
    for (uint8_t target = 2; target < 8; target++) { /* whole ones, with more */
        const uint8_t more[] = {0,   5,   1,   64,  0, 0,  69, 5,     'h',
                                'h', 'h', 'h', 'h', 2, 11, 64, target};
        seed_write(more, sizeof(more));
    }
}
