/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.h — a container's configuration as others wrote it, in the words of `create`, with a note
 * on each of its parameters.
 *
 * Shape    octets in, struct import out: options of `create` and notes. What a mapper must know of
 *          the disk it asks of the struct import_disk that it is given.
 * Units    octets; counts.
 * Errors   -EINVAL and others with a fault: no container can be made of it. A parameter that cannot
 *          be mapped is no failure: its note says why.
 * Owner    the caller; import_close() releases what the texts live in.
 * Context  pure but for malloc and what the disk's functions do.
 */
#ifndef DROVER_IMPORT_H
#define DROVER_IMPORT_H

#include "codec.h"
#include "options.h"

#define IMPORT_FILE_BYTES_MAX (1024 * 1024) /* longer: refused */
#define IMPORT_GIVEN_MAX 256                /* options; more parameters are noted as not mapped */
#define IMPORT_NOTES_MAX 1024               /* the rest is counted */
#define IMPORT_FILES_MAX 64                 /* that one includes, of 1 MiB in all */
#define IMPORT_ARENA_BYTES                                                                         \
    (256 * 1024 * 1024) /* what is written the shortest takes 60 times as much */

/* What became of one parameter. */
struct import_note {
    const char *file; /* in which it stands */
    const char *parameter;
    const char *value;
    const char *option; /* "--memory 512M"; NULL: not mapped, and `why` is there */
    const char *why;    /* NULL: nothing more to be said */
};

struct import {
    struct arena texts;
    const char *file;      /* that is being read */
    char name[NAME_BYTES]; /* of the container */
    struct option_given given[IMPORT_GIVEN_MAX];
    size_t given_count;
    struct import_note notes[IMPORT_NOTES_MAX];
    size_t note_count;
    size_t notes_lost; /* beyond IMPORT_NOTES_MAX */
};

struct import_disk {
    bool (*is_there)(void *context, const char *path);
    bool (*is_directory)(void *context, const char *path);
    /* 0 or -errno. Names of a directory's files *.conf in their order, or -ENOTDIR. */
    int (*read)(void *context, const char *path, struct arena *texts, struct octets *ret_octets);
    int (*list)(void *context, const char *path, struct arena *texts, const char *const **ret_names,
                size_t *ret_count);
    void *context;
};
/* import_disk.c: this machine's. */
extern const struct import_disk import_disk;

/*
 * Map one file.
 *   path           in  of the file: its name tells the container's, if the file does not
 *   global         in  of OpenVZ: vz.conf, for what the file does not say; {0}: none
 *   template_name  in  make it from this instead of its own root; NULL: no
 */
struct import_source {
    const char *path;
    struct octets text;
    struct octets global;
    const char *global_path;
    const char *template_name;
};
int import_openvz(struct import *import, const struct import_source *source,
                  const struct import_disk *disk, struct fault *fault);
int import_lxc(struct import *import, const struct import_source *source,
               const struct import_disk *disk, struct fault *fault);
void import_close(struct import *import);

/* ---- for the mappers ---- */

struct import_parameter {
    const char *file;
    const char *name;
    const char *value;
    const char *spelling; /* as it stands in the file; NULL: as its name */
};

/* Texts of the arena; they fail loudly, as memory does not run out at these sizes. */
char *import_room(struct import *import, size_t size_bytes);
char *import_copy(struct import *import, const char *text, size_t length);
__attribute__((format(printf, 2, 3))) const char *import_format(struct import *import,
                                                                const char *format, ...);

/* An option of `create`, and the note on where it came from. value NULL: a switch. */
void import_map(struct import *import, const struct import_parameter *parameter, enum option option,
                const char *value, const char *why);
/* What was taken from it is no option. */
void import_note(struct import *import, const struct import_parameter *parameter,
                 const char *option, const char *why);
/* Neither harm nor option: why it is not needed, or what an operator is to do. */
void import_skip(struct import *import, const struct import_parameter *parameter, const char *why);

/* A device that containers can be given: its option, but once. False: no such device. */
bool import_device(struct import *import, const struct import_parameter *parameter,
                   const char *device);

bool import_is_given(const struct import *import, enum option option);

/* Lower case, with - for what no name has. False if nothing of it is left. */
bool import_name(const char *text, char ret_name[NAME_BYTES]);

/* Text that can travel: UTF-8 without controls. */
bool import_is_text(const char *text);

/* The next word of a list, cut out of *text; NULL at its end. */
char *import_word(char **text, const char *separators);

#endif
