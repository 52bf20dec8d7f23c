/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a container that comes over from OpenVZ with other limits than it had, or without a
 * word on what it lost. Files as vzctl wrote them are mapped, and options and notes looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "import_openvz.h"

static struct import import;
static struct fault fault;
static const char *there;       /* a path that is there */
static const char *directories; /* paths of directories, with blanks around each */

static bool is_there(void *context, const char *path)
{
    (void)context;
    return there != NULL && strcmp(there, path) == 0;
}

static bool is_directory(void *context, const char *path)
{
    char word[128];

    (void)context;
    (void)snprintf(word, sizeof(word), " %s ", path);
    return directories != NULL && strstr(directories, word) != NULL;
}

static const struct import_disk disk = {.is_there = is_there, .is_directory = is_directory};

static struct octets octets_of(const char *text)
{
    return (struct octets){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static int map_at(const char *path, const char *text, const char *global)
{
    const struct import_source source = {.path = path,
                                         .text = octets_of(text),
                                         .global = octets_of(global),
                                         .global_path = "/etc/vz/vz.conf"};

    import_close(&import);
    fault = (struct fault){0};
    return import_openvz(&import, &source, &disk, &fault);
}

static int map(const char *text)
{
    static char whole[65536];

    (void)snprintf(whole, sizeof(whole), "VE_PRIVATE=/vz/private/$VEID\n%s", text);
    return map_at("/etc/vz/conf/101.conf", whole, NULL);
}

/* The index-th value of an option; NULL: it was not given so often. */
static const char *given(enum option option, size_t index)
{
    for (size_t i = 0; i < import.given_count; i++)
        if (import.given[i].option == option && index-- == 0)
            return import.given[i].value;
    return NULL;
}

static const struct import_note *note_of(const char *parameter)
{
    for (size_t i = 0; i < import.note_count; i++)
        if (strcmp(import.notes[i].parameter, parameter) == 0)
            return &import.notes[i];
    return NULL;
}

static void assert_not_mapped(const char *parameter)
{
    const struct import_note *note = note_of(parameter);

    assert_non_null(note);
    assert_null(note->option);
    assert_non_null(note->why);
}

/* ve-basic.conf-sample of vzctl 4, filled in as `vzctl set --save` does. */
static const char basic[] = "#  Copyright (C) 2000-2008, Parallels, Inc. All rights reserved.\n"
                            "\n"
                            "# RAM\n"
                            "PHYSPAGES=\"0:256M\"\n"
                            "\n"
                            "# Swap\n"
                            "SWAPPAGES=\"0:512M\"\n"
                            "# Disk quota parameters (in form of softlimit:hardlimit)\n"
                            "DISKSPACE=\"2G:2.2G\"\n"
                            "DISKINODES=\"131072:144179\"\n"
                            "QUOTATIME=\"0\"\n"
                            "\n"
                            "# CPU fair scheduler parameter\n"
                            "CPUUNITS=\"1000\"\n"
                            "NETFILTER=\"stateless\"\n"
                            "VE_ROOT=\"/vz/root/$VEID\"\n"
                            "VE_PRIVATE=\"/vz/private/$VEID\"\n"
                            "VE_LAYOUT=\"simfs\"\n"
                            "OSTEMPLATE=\"debian-7.0-x86_64\"\n"
                            "ORIGIN_SAMPLE=\"vswap-256m\"\n"
                            "IP_ADDRESS=\"192.0.2.10\"\n"
                            "HOSTNAME=\"shop.example.org\"\n"
                            "NAMESERVER=\"192.0.2.1\"\n"
                            "CPUS=\"1\"\n"
                            "ONBOOT=\"yes\"\n";

static void test_openvz__a_file_of_vzctl__is_mapped_or_told(void **state)
{
    (void)state;
    assert_int_equal(map_at("/etc/vz/conf/101.conf", basic, NULL), 0);
    assert_string_equal(import.name, "101");
    assert_string_equal(given(OPTION_ROOT, 0), "/vz/private/101");
    assert_string_equal(given(OPTION_MEMORY, 0), "256M");
    assert_string_equal(given(OPTION_SWAP, 0), "512M");
    assert_string_equal(given(OPTION_CPU_WEIGHT, 0), "100");
    assert_string_equal(given(OPTION_CPUS, 0), "1");
    assert_string_equal(given(OPTION_LABEL, 0), "openvz.ctid=101");
    assert_not_mapped("DISKSPACE");
    assert_not_mapped("IP_ADDRESS");
    assert_not_mapped("VE_ROOT");
    assert_string_equal(note_of("VE_ROOT")->value, "/vz/root/101");
    /* 17 parameters and the id in the file's name: nothing is passed over. */
    assert_int_equal(import.note_count, 18);
}

static void test_openvz__the_node_s_file__fills_in_what_is_not_said(void **state)
{
    (void)state;
    assert_int_equal(map_at("5f2e9a10-7c1b-4f5e-9d7f-1a2b3c4d5e6f.conf", "CPUUNITS=2000\n",
                            "VEID=0\nVE_PRIVATE=\"/vz/private/${VEID}\"\nCPUUNITS=1000\n"
                            "LOCKDIR=/vz/lock\nNUMPROC=200:300\n"),
                     0);
    assert_string_equal(import.name, "5f2e9a10-7c1b-4f5e-9d7f-1a2b3c4d5e6f");
    assert_string_equal(given(OPTION_ROOT, 0), "/vz/private/5f2e9a10-7c1b-4f5e-9d7f-1a2b3c4d5e6f");
    assert_string_equal(given(OPTION_CPU_WEIGHT, 0), "200");
    assert_null(given(OPTION_CPU_WEIGHT, 1));
    assert_string_equal(given(OPTION_PIDS, 0), "300");
    assert_string_equal(note_of("NUMPROC")->file, "/etc/vz/vz.conf");
    assert_null(note_of("LOCKDIR")); /* about the node */
    assert_null(note_of("VEID"));
}

static void test_openvz__the_name__is_the_first_that_there_is(void **state)
{
    (void)state;
    assert_int_equal(map("NAME=\"Web Shop_1\"\n"), 0);
    assert_string_equal(import.name, "web-shop-1");
    assert_non_null(note_of("NAME")->why);
    assert_int_equal(map("ONBOOT=auto\nBOOTORDER=7\nSTOP_TIMEOUT=90\n"), 0);
    assert_string_equal(given(OPTION_AUTOSTART, 0), "default");
    assert_string_equal(given(OPTION_ORDER, 0), "7");
    assert_string_equal(given(OPTION_STOP_GRACE, 0), "90s");
    assert_int_equal(map("ONBOOT=yes\nDISABLED=yes\n"), 0);
    assert_string_equal(given(OPTION_AUTOSTART, 0), "disabled");
    assert_null(given(OPTION_AUTOSTART, 1));
    assert_int_equal(map("NAME=\"web\"\nHOSTNAME=web\n"), 0);
    assert_null(note_of("NAME")->why);
    assert_string_equal(note_of("HOSTNAME")->option, "NAME web");
    assert_int_equal(map("NAME=\"---\"\n"), 0);
    assert_string_equal(import.name, "101");

    assert_int_equal(map_at("/vz/private/7/ve.conf", "VE_PRIVATE=/p/$VEID\nVEID=7\n", NULL), 0);
    assert_string_equal(import.name, "7");
    assert_string_equal(given(OPTION_ROOT, 0), "/p/7");
    assert_int_equal(map_at("ve.conf", "VE_PRIVATE=/p\nUUID={ABC}\n", NULL), 0);
    assert_string_equal(import.name, "abc");
    assert_int_equal(map_at("ve.conf", "VE_PRIVATE=/p\n", NULL), -EINVAL);
    assert_int_equal(fault.status, STATUS_INVALID);
}

static void test_openvz__quotes_escapes_and_comments__are_a_shell_s(void **state)
{
    static const struct {
        const char *line;
        const char *value;
    } rows[] = {
        {"DESCRIPTION=plain", "plain"},
        {"  DESCRIPTION=indented", "indented"},
        {"DESCRIPTION=\"two words\"", "two words"},
        {"DESCRIPTION='single $VEID'", "single 101"},
        {"DESCRIPTION=two words", "two words"},
        {"DESCRIPTION=cut # here", "cut"},
        {"DESCRIPTION=not#here", "not#here"},
        {"DESCRIPTION=\"not # here\" # but here", "not # here"},
        {"DESCRIPTION=\"a \\\"b\\\" c\"", "a \"b\" c"},
        {"DESCRIPTION=a\\ ", "a "},
        {"DESCRIPTION=back\\\\slash", "back\\slash"},
        {"DESCRIPTION=\"never closed", "never closed"},
        {"DESCRIPTION=end\\", "end"},
        {"DESCRIPTION=$(touch /tmp/x)`id`$HOME", "$(touch /tmp/x)`id`$HOME"},
        {"DESCRIPTION=$VEID-${VEID}-$VE", "101-101-$VE"},
        {"DESCRIPTION=a=b", "a=b"},
        {"DESCRIPTION=first\nDESCRIPTION=last", "last"},
        {"#DESCRIPTION=no\nDESCRIPTION=yes\r", "yes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char wanted[128];

        (void)snprintf(wanted, sizeof(wanted), "description=%s", rows[i].value);
        assert_int_equal(map(rows[i].line), 0);
        assert_string_equal(given(OPTION_LABEL, 1), wanted);
    }
}

static void test_openvz__amounts__are_pages_or_have_a_letter(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"131072", UINT64_C(512) << 20},  {"0:131072", UINT64_C(512) << 20},
        {"131072:unlimited", UINT64_MAX}, {"0:9223372036854775807", UINT64_MAX},
        {"2147483647", UINT64_MAX},       {"0:1g", UINT64_C(1) << 30},
        {"1024P", UINT64_C(4) << 20},     {"4096B", 4096},
        {"1T", UINT64_C(1) << 40},        {"18446744073709551615", UINT64_MAX},
    };
    static const char *const wrong[] = {
        "", "abc", "1-sdc", "1X", "1MM", "-1", "0:", "1.5G", "99999999999999999999"};
    uint64_t bytes = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(openvz_read_amount(rows[i].text, 4096, &bytes));
        assert_int_equal(bytes, rows[i].bytes);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(openvz_read_amount(wrong[i], 4096, &bytes));
    assert_int_equal(map("PHYSPAGES=1-sdc\nSWAPPAGES=0\nNUMPROC=unlimited\n"), 0);
    assert_not_mapped("PHYSPAGES");
    assert_string_equal(given(OPTION_SWAP, 0), "0");
    assert_string_equal(given(OPTION_PIDS, 0), "max");
}

static void test_openvz__processors__are_limited_by_the_lower_limit(void **state)
{
    static const struct {
        const char *text;
        const char *cpus; /* NULL: no limit */
    } rows[] = {
        {"CPULIMIT=50", "0.5"},
        {"CPULIMIT=125%", "1.25"},
        {"CPUS=2", "2"},
        {"CPUS=10", "10"},
        {"CPULIMIT=50\nCPUS=2", "0.5"},
        {"CPULIMIT=400\nCPUS=2", "2"},
        {"CPULIMIT=200\nCPUS=2", "2"},
        {"CPULIMIT=0\nCPUS=3", "3"},
        {"CPULIMIT=0", NULL},
        {"CPULIMIT=1200m", NULL},
        {"CPULIMIT=lots\nCPUS=x", NULL},
        {"CPUS=99999999999", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(map(rows[i].text), 0);
        if (rows[i].cpus == NULL)
            assert_null(given(OPTION_CPUS, 0));
        else
            assert_string_equal(given(OPTION_CPUS, 0), rows[i].cpus);
        assert_null(given(OPTION_CPUS, 1));
    }
}

/* Conformance 53: the whole range becomes a weight that the kernel takes. */
static void test_openvz__cpu_units__stay_within_the_kernel_s_weights(void **state)
{
    char line[64];

    (void)state;
    for (unsigned units = 8; units <= 500000; units += units < 2000 ? 1 : 997) {
        unsigned weight = 0;

        (void)snprintf(line, sizeof(line), "CPUUNITS=%u\n", units);
        assert_int_equal(map(line), 0);
        assert_int_equal(sscanf(given(OPTION_CPU_WEIGHT, 0), "%u", &weight), 1);
        assert_in_range(weight, 1, 10000);
    }
    assert_int_equal(map("CPUUNITS=500000\n"), 0);
    assert_string_equal(given(OPTION_CPU_WEIGHT, 0), "10000");
    assert_int_equal(map("CPUUNITS=7\n"), 0);
    assert_not_mapped("CPUUNITS");
}

static void test_openvz__lists__are_mapped_word_by_word(void **state)
{
    (void)state;
    assert_int_equal(map("BINDMOUNT=\"/srv:/data,nosuid,nodev  /a:/b,ro /mnt rel:/x /c:/\"\n"
                         "VE_ENVIRONMENT=\"A=1 B=two=2 C\"\n"
                         "DEVNODES=\"net/tun:rw fuse:none sda:r\"\n"),
                     0);
    assert_true(import_is_given(&import, OPTION_TUN));
    assert_false(import_is_given(&import, OPTION_FUSE));
    assert_string_equal(given(OPTION_BIND, 0), "/srv:/data");
    assert_string_equal(given(OPTION_BIND, 1), "/a:/b:ro");
    assert_null(given(OPTION_BIND, 2));
    assert_string_equal(given(OPTION_ENV, 0), "A=1");
    assert_string_equal(given(OPTION_ENV, 1), "B=two=2");
    assert_null(given(OPTION_ENV, 2));
    assert_int_equal(import.note_count, 13); /* CTID, VE_PRIVATE, 5 binds, 3 variables, 3 devices */
}

static void test_openvz__the_root__is_where_the_layout_puts_it(void **state)
{
    struct import_source source = {.path = "/etc/vz/conf/101.conf",
                                   .text = octets_of("VE_PRIVATE=/vz/private/101\n"),
                                   .template_name = "debian"};

    (void)state;
    directories = " /vz/private/101/fs ";
    assert_int_equal(map(""), 0);
    assert_string_equal(given(OPTION_ROOT, 0), "/vz/private/101/fs");
    directories = " /vz/private/101/fs /vz/private/101/etc ";
    assert_int_equal(map(""), 0);
    assert_string_equal(given(OPTION_ROOT, 0), "/vz/private/101");
    directories = NULL;
    there = "/etc/vz/conf/101.mount";
    assert_int_equal(map(""), 0);
    there = NULL;
    assert_string_equal(given(OPTION_HOOK, 0), "mount=/etc/vz/conf/101.mount");
    assert_null(given(OPTION_HOOK, 1));

    assert_int_equal(map("VE_LAYOUT=\"ploop:expanded\"\n"), -ENOTSUP);
    assert_int_equal(fault.status, STATUS_UNSUPPORTED);
    there = "/vz/private/101/root.hdd";
    assert_int_equal(map(""), -ENOTSUP);
    import_close(&import);
    assert_int_equal(import_openvz(&import, &source, &disk, &fault), 0);
    there = NULL;
    assert_string_equal(given(OPTION_TEMPLATE, 0), "debian");
    assert_null(given(OPTION_ROOT, 0));
    assert_not_mapped("VE_PRIVATE");

    assert_int_equal(map_at("101.conf", "ONBOOT=no\n", NULL), -EINVAL);
    assert_int_equal(map_at("101.conf", "VE_PRIVATE=relative\n", NULL), -EINVAL);
}

static void test_openvz__hostile_octets__are_refused_or_told(void **state)
{
    static char many[OPENVZ_VALUES_MAX * 16];
    const struct import_source zero = {.path = "1.conf", .text = {(const uint8_t *)"A=\0b", 4}};
    size_t length = 0;

    (void)state;
    import_close(&import);
    assert_int_equal(import_openvz(&import, &zero, &disk, &fault), -EINVAL);
    assert_int_equal(map("DESCRIPTION=\x1b[2J\nVE_ENVIRONMENT=A=\xff\nNAME=\xc3\x28\n=x\n==\n"), 0);
    assert_not_mapped("DESCRIPTION");
    assert_not_mapped("VE_ENVIRONMENT");
    assert_int_equal(import.given_count, 2); /* the root and the label */
    for (unsigned i = 0; i <= OPENVZ_VALUES_MAX; i++)
        length += (size_t)snprintf(many + length, sizeof(many) - length, "K%u=1\n", i);
    assert_int_equal(map(many), -EINVAL);
    assert_non_null(strstr(fault.text, "512"));
}

/* Every parameter of OpenVZ's own table; one without a rule would be called unknown. */
static void test_openvz__every_parameter__is_known(void **state)
{
    static const char names[] =
        "PHYSPAGES SWAPPAGES VM_OVERCOMMIT MEMGUARANTEE MEMGUARANTEE_BYTES PAGECACHE_ISOLATION "
        "NUMMEMORYSUBGROUPS KMEMSIZE NUMPROC AVNUMPROC PRIVVMPAGES SHMPAGES LOCKEDPAGES "
        "VMGUARPAGES NUMFILE NUMFLOCK NUMPTY NUMSIGINFO NUMIPTENT DCACHESIZE TCPSNDBUF TCPRCVBUF "
        "OTHERSOCKBUF DGRAMRCVBUF NUMTCPSOCK NUMOTHERSOCK OOMGUARPAGES TOTVMPAGES IPCSHMPAGES "
        "ANONSHPAGES RSSPAGES OOMGUAR NUMSOCK UNIXSOCKBUF SOCKRCVBUF NUMUNIXSOCK SLMMODE "
        "SLMMEMORYLIMIT NUMNETIF MEMINFO CPUUNITS CPUWEIGHT CPULIMIT CPULIMIT_MHZ CPUS CPUMASK "
        "NODEMASK BURST_CPU_AVG_USAGE BURST_CPULIMIT IOPRIO IOLIMIT IOPSLIMIT IP_ADDRESS NETIF "
        "NETDEV HOSTNAME NAMESERVER SEARCHDOMAIN RATE RATEBOUND TOTALRATE TRAFFIC_SHAPING "
        "BANDWIDTH RATEMPU USE_NET_RPS IPV6 VE_ROUTE_SRC_DEV USE_VENET_MASK NEIGHBOUR_DEVS "
        "ERROR_ON_ARPFAIL SKIP_ARPDETECT NETFILTER IPTABLES APPLY_IPONLY VE_ROOT VE_PRIVATE DISK "
        "ROOT_DISK DISKSPACE DISKINODES MOUNT_OPTS NOATIME VEFSTYPE VE_LAYOUT AUTOCOMPACT "
        "DISK_QUOTA QUOTATIME QUOTAUGIDLIMIT JOURNALED_QUOTA BINDMOUNT OSTEMPLATE TEMPLATE "
        "TEMPLATES DISTRIBUTION TECHNOLOGIES DEF_OSTEMPLATE DUMPDIR FEATURES DEVNODES DEVICES PCI "
        "CAPABILITY LOCAL_UID LOCAL_GID OSRELEASE NAME UUID VEID DESCRIPTION VE_TYPE "
        "ORIGIN_SAMPLE CONFIG_CUSTOMIZED ONBOOT BOOTORDER AUTOSTOP VE_STOP_MODE STOP_TIMEOUT "
        "DISABLED ALLOWREBOOT VE_ENVIRONMENT HA_ENABLE HA_PRIO REPAIR_MODE SKIP_CGROUP_DESTROY "
        "VE_CGROUP_SLICE LOCKDIR VE_PARALLEL LOGGING LOGFILE LOG_LEVEL ON_VE_FSERROR "
        "VZ_TOOLS_BCID";
    char words[sizeof(names)];

    (void)state;
    memcpy(words, names, sizeof(names));
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        const struct openvz_rule *rule = openvz_rule_find(word);

        assert_non_null(rule);
        assert_true((rule->map == NULL) == (rule->why != NULL));
    }
    assert_null(openvz_rule_find("PHYSPAGE"));
    assert_null(openvz_rule_find("VZ_TOOL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openvz__a_file_of_vzctl__is_mapped_or_told),
        cmocka_unit_test(test_openvz__the_node_s_file__fills_in_what_is_not_said),
        cmocka_unit_test(test_openvz__the_name__is_the_first_that_there_is),
        cmocka_unit_test(test_openvz__quotes_escapes_and_comments__are_a_shell_s),
        cmocka_unit_test(test_openvz__amounts__are_pages_or_have_a_letter),
        cmocka_unit_test(test_openvz__processors__are_limited_by_the_lower_limit),
        cmocka_unit_test(test_openvz__cpu_units__stay_within_the_kernel_s_weights),
        cmocka_unit_test(test_openvz__lists__are_mapped_word_by_word),
        cmocka_unit_test(test_openvz__the_root__is_where_the_layout_puts_it),
        cmocka_unit_test(test_openvz__hostile_octets__are_refused_or_told),
        cmocka_unit_test(test_openvz__every_parameter__is_known),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    import_close(&import);
    return failed;
}
